"""Models behind an OpenAI-compatible HTTP API."""
