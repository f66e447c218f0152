"""Comparison of runs: which tasks they share, how they differ, and how sure that is."""
