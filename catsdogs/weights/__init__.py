"""Embedded weights of the backbone: `embedded.safetensors`, and its facts in `embedded.json`.

A ResNet-18 trained from scratch to classify the ears, nose, eyes, markings and head of drawn
creatures. The training set had no cats, no dogs and no photographs, and the weights contain nothing
of ImageNet. `scripts/pretrain_backbone.py` creates them.
"""
