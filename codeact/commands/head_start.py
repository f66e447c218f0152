"""Commands that play or grade have their sandbox begin before anything else is done."""

from collections.abc import Iterator
from contextlib import contextmanager

_COMMANDS = ("replay", "run", "validate")
_DECIDERS = (
    *("executor", "executor.preload", "executor.python", "executor.server_memory_mb"),
    *("compute", "dry_run"),
)
"""Keys by which another sandbox is needed, or none; ``local`` is what is taken to be meant."""


@contextmanager
def head_start(command: str, words: list[str]) -> Iterator[None]:
    """Have a sandbox begin, if the command will most likely need it; nothing unused is left."""
    if command not in _COMMANDS or any(map(_decides, words)):
        yield
        return
    from codeact.sandboxes.head_start import HEAD_START

    HEAD_START.begin()
    try:
        yield
    finally:
        if (unused := HEAD_START.take()) is not None:
            unused.discard()


def _decides(word: str) -> bool:
    """Whether a word asks for help or for the user's own options, or may choose another sandbox."""
    key, _, value = word.lstrip("+~").partition("=")
    if word.startswith("-"):
        return word not in ("-m", "--multirun")
    return key in _DECIDERS and value != "local"
