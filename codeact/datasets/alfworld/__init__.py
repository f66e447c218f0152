"""ALFWorld: household tasks, each a game that is solved by acting in it."""
