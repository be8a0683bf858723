"""Chaos test: real processes, killed at random moments and compared with undisturbed ones."""
