"""MBPP: short Python functions from a description."""
