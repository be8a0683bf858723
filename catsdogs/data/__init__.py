"""Image folders, their manifests, decoding, augmentation and the order of training."""
