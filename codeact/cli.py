"""The entry point: finds the command and imports it only then, so that ``--help`` is quick."""

import gc
import os
import sys
from importlib import import_module
from keyword import iskeyword
from typing import Any

from codeact.commands import COMMANDS
from codeact.exceptions import CodeactError

USAGE = "usage: codeact COMMAND [KEY=VALUE ...] [-m] [--config-dir DIR] [--config-name NAME]"


def main(arguments: list[str] | None = None) -> int:
    """Run a command; returns the exit status, 0 only if it did what it promises."""
    words = sys.argv[1:] if arguments is None else arguments
    if not words or words[0] in ("-h", "--help"):
        _out(_help())
        return 0 if words else 2
    if words[0] in ("-V", "--version"):
        from codeact import __version__

        _out(f"codeact {__version__}")
        return 0
    if words[0] not in COMMANDS:
        from codeact.wording import nearest

        _err(f"codeact: there is no command {words[0]!r} ({nearest(words[0], COMMANDS)})")
        return 2
    return _run(words[0], words[1:], own=arguments is None)


def _run(name: str, words: list[str], *, own: bool) -> int:
    """Run a command; `own` is whether the process has been started for it."""
    from codeact.commands.head_start import head_start

    try:
        with head_start(name, words):
            command = _imported(f"codeact.commands.{name}{'_' if iskeyword(name) else ''}", own)
            status: int = command.main(words)
        sys.stdout.flush()
    except CodeactError as error:
        _err(f"codeact {name}: {error}")
        return 1
    except KeyboardInterrupt:
        _err(f"codeact {name}: stopped")
        return 130
    except BrokenPipeError:
        # The reader of our output (head, less) has gone; flushing at exit would fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return status


def _imported(name: str, own: bool) -> Any:
    """Import a module. To look for garbage among what stays is a tenth of a short command."""
    gc.disable()
    module = import_module(name)
    if own:
        gc.freeze()
    gc.enable()
    return module


def _help() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {what}" for name, what in COMMANDS.items()]
    return "\n".join(
        [
            "codeact: experiments with agents that act by writing code",
            "",
            USAGE,
            "",
            *lines,
            "",
            "codeact COMMAND --help lists its config groups, their options and its keys.",
        ]
    )


def _out(text: str) -> None:
    sys.stdout.write(text + "\n")


def _err(text: str) -> None:
    sys.stderr.write(text + "\n")


if __name__ == "__main__":
    sys.exit(main())
