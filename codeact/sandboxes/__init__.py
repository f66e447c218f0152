"""Executors: where model-written code runs."""
