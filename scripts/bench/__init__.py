"""Measurements of optimizers, of training and of the size of a data set."""
