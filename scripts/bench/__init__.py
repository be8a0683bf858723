"""Benchmarks of optimizer steps, of training and of its cost by the size of the data set."""
