"""The subjects of MATH, for training."""
