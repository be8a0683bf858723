"""A tutorial's comparison of four optimizers on a linear regression, corrected and rerun."""
