"""Claims about options: foreach, fused, amsgrad and others do what they say."""
