"""`make mutants`: do the tests notice a changed rule?"""
