"""HumanEval: Python functions from their docstrings."""
