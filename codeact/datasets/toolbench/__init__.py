"""Tasks that need several tools, made by a seed: six domains with tools of their own."""
