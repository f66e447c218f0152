"""What missing outcomes could change: the difference if all of them had gone one way."""

import numpy as np
from numpy.typing import NDArray

from codeact.results.comparison.model import Bounds
from codeact.results.comparison.pairing import Pairs
from codeact.results.comparison.runs import PlayedRun
from codeact.statistics.equivalence import Conclusion
from codeact.statistics.intervals import Floats


def bounds_of(pairs: Pairs, conclusion: Conclusion, margin: float | None) -> Bounds | None:
    """Return the bounds over the tasks that both runs played; None where nothing is missing.

    For the upper one all that is missing failed in A and succeeded in B.
    """
    a_failed, a_solved = _filled(pairs.a, pairs.shared_a)
    b_failed, b_solved = _filled(pairs.b, pairs.shared_b)
    low, high = float((b_failed - a_solved).mean()), float((b_solved - a_failed).mean())
    if (a_failed == a_solved).all() and (b_failed == b_solved).all():
        return None
    changes = {
        "better": low <= 0,
        "worse": high >= 0,
        "equal within the margin": margin is not None and not (-margin < low <= high < margin),
        "undecided": False,
    }[conclusion]
    return Bounds(low=low, high=high, changes=changes)


def _filled(run: PlayedRun, shared: NDArray[np.intp]) -> tuple[Floats, Floats]:
    """Return each task's rate if its missing samples had failed, and if they had succeeded."""
    won = run.tasks.successes[shared]
    planned = np.maximum(run.tasks.played[shared], run.samples)
    missing = planned - run.tasks.samples[shared]
    return won / planned, (won + missing) / planned
