"""The bottom floor: what an episode is. Pure: no I/O, no clock, no randomness."""
