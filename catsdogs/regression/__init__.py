"""A tutorial's comparison of four optimizers on a straight line, run again and run right."""
