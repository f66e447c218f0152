"""GSM8K: arithmetic in words."""
