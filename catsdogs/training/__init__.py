"""From pictures to a trained head: backbone, feature store, head, the one loop, checkpoints."""
