"""Prompt strategies: how tasks, actions and observations are put into words."""
