"""A trained checkpoint put to use: answers to pictures, and one file to take away."""
