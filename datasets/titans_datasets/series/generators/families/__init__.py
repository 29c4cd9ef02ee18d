"""Families of synthetic series, one a file: a function of a generator of random numbers, a count and a length."""
