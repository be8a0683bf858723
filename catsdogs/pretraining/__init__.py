"""Pretraining of the embedded weights. No other part of the package imports it."""
