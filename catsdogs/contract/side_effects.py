"""Claims about what a step must leave alone: random numbers, output, the caller's objects."""
