"""What all tables and lists at the terminal share."""

import sys
from collections.abc import Sequence

from rich.console import Console

from codeact.recordings.trajectory import Problem

_SHOWN_PROBLEMS = 20


def wide_console() -> Console:
    """Return a console on standard output; without a terminal it is as wide as tables need."""
    found = Console(markup=False, emoji=False)
    return found if found.is_terminal else Console(markup=False, emoji=False, width=120)


def list_problems(problems: Sequence[Problem], rest: str = "") -> bool:
    """Print problems of the sources to standard error; returns whether there are any.

    `rest` names the file that lists all of them.
    """
    for problem in problems[:_SHOWN_PROBLEMS]:
        sys.stderr.write(f"{problem.place}: {problem.reason}\n")
    if (more := len(problems) - _SHOWN_PROBLEMS) > 0:
        where = f"; all of them are in {rest}" if rest else ""
        sys.stderr.write(f"and {more} more such{where}\n")
    return bool(problems)
