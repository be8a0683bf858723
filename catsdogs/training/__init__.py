"""Training of a head on stored features: heads, the loop, checkpoints, resuming, TensorBoard."""
