"""The live display of a run at a terminal: its numbers, their layout, and the screen they go to."""
