"""codeact: experiments with agents that act by writing code."""

from codeact.moved import install

__version__ = "0.1.0"

install()
