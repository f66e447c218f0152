"""The exit status of ``gate``: whether a run is worse than it may be, with 95 % confidence."""

import sys

from codeact.results.comparison.model import ComparisonReport, PairReport
from codeact.results.comparison.words import points

WORSE, UNDECIDED = 3, 4


def gate_status(report: ComparisonReport, gate: float | None) -> int:
    """Return 0 if every run is surely not worse than `gate`; says on standard error why not.

    3 is for a run whose whole interval is below it, 4 for one whose interval holds it. Missing
    outcomes leave undecided what they could turn round.
    """
    if gate is None:
        return 0
    found = [(pair, _status(pair, gate)) for pair in report.pairs]
    for pair, status in found:
        if status:
            what = "is worse than" if status == WORSE else "may be worse than"
            sys.stderr.write(
                f"gate: {pair.b} {what} {pair.a} by {-gate:.1%} or more: "
                f"{points(pair.difference)}{_missing(pair, gate)}\n"
            )
    statuses = [status for _, status in found]
    return WORSE if WORSE in statuses else max(statuses, default=0)


def _status(pair: PairReport, gate: float) -> int:
    found = pair.difference
    if found is None or found.low is None or found.high is None:
        return UNDECIDED
    if found.high < gate:
        return UNDECIDED if pair.bounds is not None and pair.bounds.high >= gate else WORSE
    if found.low < gate:
        return UNDECIDED
    return UNDECIDED if _is_turned(pair, gate) else 0


def _is_turned(pair: PairReport, gate: float) -> bool:
    """Whether missing outcomes could put a difference that passes below the gate."""
    return pair.bounds is not None and pair.bounds.low < gate


def _missing(pair: PairReport, gate: float) -> str:
    bounds = pair.bounds
    if bounds is None or not bounds.low < gate <= bounds.high:
        return ""
    return f"; missing outcomes could make it {bounds.low:+.1%} to {bounds.high:+.1%}"
