"""Inference with a trained checkpoint: predictions, their results as files, and export."""
