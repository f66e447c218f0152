"""Shows what was recorded: a local page and its server, exports of it, and the same as text."""
