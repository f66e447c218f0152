"""What was recorded: run folders and published trees, read and written in one place."""
