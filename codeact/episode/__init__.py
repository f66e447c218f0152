"""What an episode is: a state machine without I/O, clock or randomness."""
