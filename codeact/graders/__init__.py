"""Graders: verdicts over proposed answers."""
