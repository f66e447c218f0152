"""Intervals, tests and power for success rates: numbers in, numbers out."""
