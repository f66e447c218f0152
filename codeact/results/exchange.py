"""What import, export, convert and stats tell at the terminal."""

import sys
from collections.abc import Sequence

from codeact.collection.exchange import Exchange
from codeact.collection.report import Problem

_SHOWN_PROBLEMS = 20
_SHOWN_PLACES = 30


def show_exchange(kind: str, found: Exchange, out: str) -> bool:
    """Every place that was written, with its episodes; answers whether anything is wrong."""
    for name, episodes in list(found.places.items())[:_SHOWN_PLACES]:
        sys.stdout.write(f"{name}: {episodes:,} episodes\n")
    if (more := len(found.places) - _SHOWN_PLACES) > 0:
        sys.stdout.write(f"and {more} more\n")
    plural = "" if len(found.places) == 1 else "s"
    sys.stdout.write(
        f"{found.episodes:,} episodes in {len(found.places)} {kind}{plural} beneath {out}\n"
    )
    return list_problems(found.problems)


def list_problems(problems: Sequence[Problem]) -> bool:
    """Say what is wrong in the sources, on standard error; answers whether anything is."""
    for problem in problems[:_SHOWN_PROBLEMS]:
        sys.stderr.write(f"{problem.place}: {problem.reason}\n")
    if (more := len(problems) - _SHOWN_PROBLEMS) > 0:
        sys.stderr.write(f"and {more} more such\n")
    return bool(problems)
