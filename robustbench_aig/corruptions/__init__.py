"""Common corruptions: changes that happen to images without an adversary. Their names need no torch.

A room of its own, because a corruption is neither an attack, which must stay in a ball around the image and may ask
the network, nor a data set.
"""
