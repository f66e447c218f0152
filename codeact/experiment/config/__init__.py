"""The configuration: its schema, how a command line composes it, and what is refused."""
