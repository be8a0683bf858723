"""The embedded weights of the backbone: `embedded.safetensors`, and their facts in the .json.

What they are: a ResNet-18 that learned, from scratch, to name the ears, nose, eyes, markings and
head of drawn creatures. What they are not: no cat and no dog was among those creatures, no
photograph either, and nothing of ImageNet is in them. `scripts/pretrain_backbone.py` makes them.
"""
