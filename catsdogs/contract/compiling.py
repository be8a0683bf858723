"""Claims about torch.compile of the step."""
