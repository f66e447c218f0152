"""The tables of a comparison as rows of text, whoever shows them; the first row is the head."""

import json
from collections.abc import Sequence

from codeact.results.comparison.model import (
    CurveReport,
    Flip,
    IntervalEstimate,
    PairReport,
    RunReport,
)
from codeact.results.comparison.words import number, p_in_words, percent, points

Rows = list[list[str]]
_DIGITS = {"USD": 4, "USD per success": 4, "tokens": 0, "feedback tokens": 0}
_SHOWN_K = (1, 2, 4, 8, 16, 32)
_LONGEST = 60


def run_rows(runs: Sequence[RunReport]) -> Rows:
    """Return each run by itself: its rate with the interval, and what is missing."""
    rows = [["run", "tasks", "samples", "success [95 %]", "interval", "tokens/success", "missing"]]
    for run in runs:
        per = run.per_success.get("tokens")
        kind = "-" if run.success is None else f"{run.success.kind}, n = {run.success.clusters}"
        rows.append(
            [
                run.name,
                f"{run.tasks:,}",
                str(run.samples),
                percent(run.success),
                kind,
                "-" if per is None else _estimate(per, 0),
                _missing(run),
            ]
        )
    return rows


def _missing(run: RunReport) -> str:
    lost = run.attrition
    parts = [f"{cause} {count}" for cause, count in lost.causes.items()]
    parts += [f"edited by a person {lost.edited}"] * bool(lost.edited)
    parts += [f"not played {lost.unplayed}"] * bool(lost.unplayed)
    return "; ".join(parts) or "-"


def sample_rows(runs: Sequence[RunReport]) -> Rows:
    """Return pass@k and pass^k of runs with several samples."""
    ks = [k for k in _SHOWN_K if any(k in run.pass_at_k for run in runs)]
    rows = [["run", "", *(f"k = {k}" for k in ks)]]
    for run in runs:
        for name, found in (("pass@k", run.pass_at_k), ("pass^k", run.pass_hat_k)):
            if found:
                rows.append([run.name, name, *(percent(found.get(k)) for k in ks)])
    return rows


def matrix_rows(pairs: Sequence[PairReport]) -> Rows:
    """Return one row for each run against the baseline."""
    head = ["run", "pairs", "difference [95 %]", "p", "p (Holm)", "won", "lost", "conclusion"]
    return [head] + [
        [
            pair.b,
            f"{pair.pairs:,}",
            points(pair.difference),
            p_in_words(pair.p),
            p_in_words(pair.p_holm),
            str(sum(flip.sure > 0 for flip in pair.flips)),
            str(sum(flip.sure < 0 for flip in pair.flips)),
            pair.conclusion,
        ]
        for pair in pairs
    ]


def metric_rows(pair: PairReport) -> Rows:
    """Return success and what it took, as paired differences."""
    rows = [["", "A", "B", "B − A [95 %]"]]
    rows.append(["success", f"{pair.rate_a:.1%}", f"{pair.rate_b:.1%}", points(pair.difference)])
    for one in pair.metrics:
        digits = _DIGITS.get(one.name, 0 if max(abs(one.a), abs(one.b)) >= 1000 else 2)
        found = "-" if one.difference is None else _estimate(one.difference, digits, signed=True)
        rows.append([one.name, number(one.a, digits), number(one.b, digits), found])
    return rows


def _estimate(found: IntervalEstimate, digits: int, *, signed: bool = False) -> str:
    ends = [
        "∞" if one is None else number(one, digits, signed=signed)
        for one in (found.low, found.high)
    ]
    return f"{number(found.value, digits, signed=signed)} [{ends[0]}, {ends[1]}]"


def group_rows(pair: PairReport, field: str) -> Rows:
    """Return the pairs by the values of one field."""
    rows = [[field, "pairs", "A", "B", "B − A [95 %]", "p", "p (Holm)"]]
    return rows + [
        [
            one.value,
            f"{one.pairs:,}",
            f"{one.a:.1%}",
            f"{one.b:.1%}",
            points(one.difference),
            p_in_words(one.p),
            p_in_words(one.p_holm),
        ]
        for one in pair.groups
        if one.field == field
    ]


def flip_rows(flips: Sequence[Flip]) -> Rows:
    """Return tasks on which the runs differ, with the first record's address in each run."""
    return [["task", "A", "B", "record in A", "record in B"]] + [
        [
            one.task,
            f"{one.successes_a}/{one.samples_a}",
            f"{one.successes_b}/{one.samples_b}",
            one.a[0],
            one.b[0],
        ]
        for one in flips
    ]


def setting_rows(pair: PairReport, most: int | None = None) -> Rows:
    """Return the keys in which the configurations differ, and whether that changes episodes."""
    rows = [["key", "A", "B", "changes episodes"]]
    rows += [
        [one.key, _shown(one.a), _shown(one.b), "yes" if one.matters else "no"]
        for one in pair.settings[:most]
    ]
    if most is not None and len(pair.settings) > most:
        rows.append([f"and {len(pair.settings) - most} more", "", "", ""])
    return rows


def _shown(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 2]} …"


def curve_rows(curves: Sequence[CurveReport]) -> Rows:
    """Return success by number of turns, with the line through it."""
    ks = sorted({k for curve in curves for k in curve.rates})
    rows = [["", "k is", *map(str, ks), "slope", "r²"]]
    for curve in curves:
        kind = "turns taken" if curve.kind == "within a run" else "the limit"
        rates = [f"{100 * curve.rates[k]:.2f}" if k in curve.rates else "" for k in ks]
        slope = "-" if curve.slope is None else f"{100 * curve.slope:+.2f}".replace("-", "−")
        fit = "-" if curve.r_squared is None else f"{curve.r_squared:.2f}"
        rows.append([curve.name, kind, *rates, slope, fit])
    return rows


def pair_lines(pair: PairReport) -> list[str]:
    """Return what is said of a pair in sentences, the conclusion last."""
    lines = [f"note: {note}" for note in pair.notes]
    for name, alone in ((pair.a, pair.unpaired_a), (pair.b, pair.unpaired_b)):
        if alone:
            some = ", ".join(alone[:5]) + ", …" * (len(alone) > 5)
            lines.append(f"only in {name}: {len(alone):,} tasks ({some})")
    clusters = f" in {pair.clusters:,} clusters" if pair.clusters != pair.pairs else ""
    odds = "" if pair.odds is None else f"; {pair.odds:.2f} won for each lost"
    lines.append(f"{pair.pairs:,} pairs{clusters}; {pair.test}: {p_in_words(pair.p)}{odds}")
    if pair.narrower is not None:
        lines.append(
            f"standard error {100 * pair.error:.2f} points paired, "
            f"{100 * pair.unpaired_error:.2f} unpaired: {pair.narrower:.0%} narrower"
        )
    if pair.detectable is not None:
        half = (
            ""
            if pair.tasks_for_half is None
            else (f"; half of what was seen needs {pair.tasks_for_half:,} tasks")
        )
        lines.append(f"seen with a power of 80 %: {100 * pair.detectable:.1f} points{half}")
    if pair.p_equivalence is not None:
        lines.append(
            f"equal within {100 * (pair.margin or 0):.1f} points: {p_in_words(pair.p_equivalence)}"
        )
    return [*lines, pair.in_words]
