"""APPS: programming tasks, as functions and as whole programs."""
