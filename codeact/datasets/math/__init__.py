"""MATH: competition mathematics, as MINT evaluates it."""
