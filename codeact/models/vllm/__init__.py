"""Models that this run serves itself, with vLLM."""
