"""Host side of the functions in the REPL's namespace."""
