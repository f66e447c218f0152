"""codeact: experiments with agents that act by writing code."""

__version__ = "0.1.0"
