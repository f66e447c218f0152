"""ALFWorld: households in text, each in a process of its own, that a policy acts on by tools."""
