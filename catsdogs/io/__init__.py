"""Files, tensors, text, numbers and progress bars."""
