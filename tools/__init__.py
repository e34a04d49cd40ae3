"""What a checkout needs and a wheel doesn't carry."""
