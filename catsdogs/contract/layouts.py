"""Claims about memory layouts: transposed and channels-last weights, and state across layouts."""
