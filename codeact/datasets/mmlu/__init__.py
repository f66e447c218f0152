"""MMLU: multiple choice, as MINT evaluates it."""
