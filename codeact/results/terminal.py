"""What all tables and lists at the terminal share."""

import sys
from collections.abc import Sequence

from rich.console import Console

from codeact.recordings.trajectory import Problem

_SHOWN_PROBLEMS = 20


def wide_console() -> Console:
    """Standard output, never narrower than the tables need where it is no terminal.

    Brackets in a text are brackets: names of folders and runs may have some.
    """
    found = Console(markup=False, emoji=False)
    return found if found.is_terminal else Console(markup=False, emoji=False, width=120)


def list_problems(problems: Sequence[Problem], rest: str = "") -> bool:
    """Say what is wrong in the sources, on standard error; answers whether anything is.

    `rest` is where all of them are to be found, if anywhere.
    """
    for problem in problems[:_SHOWN_PROBLEMS]:
        sys.stderr.write(f"{problem.place}: {problem.reason}\n")
    if (more := len(problems) - _SHOWN_PROBLEMS) > 0:
        where = f"; all of them are in {rest}" if rest else ""
        sys.stderr.write(f"and {more} more such{where}\n")
    return bool(problems)
