"""A comparison as sections of a report, which are written as Markdown and as a page."""

from collections.abc import Iterator
from typing import NamedTuple

from codeact.results.comparison.model import ComparisonReport, PairReport
from codeact.results.comparison.rows import (
    Rows,
    curve_rows,
    flip_rows,
    group_rows,
    matrix_rows,
    metric_rows,
    pair_lines,
    run_rows,
    sample_rows,
    setting_rows,
)

MOST_FLIPS = 500
"""Of each kind, in a report; report.json has all."""


class Section(NamedTuple):
    """A part of a report: sentences, then a table whose first row is its head, then a plot."""

    title: str
    level: int = 2
    lines: tuple[str, ...] = ()
    rows: Rows = []  # noqa: RUF012 (never changed)
    plot: str = ""
    about: str = ""
    """What the plot shows, for who cannot see it."""


def sections(report: ComparisonReport) -> Iterator[Section]:
    """Yield a report from the conclusion to the details."""
    found = tuple(pair.in_words for pair in report.pairs)
    yield Section("Conclusion", lines=(*found, *report.notes))
    yield Section(
        "Runs",
        rows=run_rows(report.runs),
        plot="rates",
        about="success rate of each run with its 95 % interval",
    )
    if any(run.pass_at_k for run in report.runs):
        yield Section("Several samples", rows=sample_rows(report.runs))
    yield Section(
        "Paired differences",
        rows=matrix_rows(report.pairs),
        plot="differences",
        about="paired differences in success with their 95 % intervals",
    )
    for pair in report.pairs:
        yield from _of_pair(pair)
    yield Section(
        "Success against turns",
        rows=curve_rows(report.curves),
        plot="turns",
        about="success by number of turns, with its slope",
    )
    yield Section(
        "Cost against success", plot="cost", about="mean cost of a task against the success rate"
    )


def _of_pair(pair: PairReport) -> Iterator[Section]:
    yield Section(f"{pair.b} (B) against {pair.a} (A)", lines=tuple(pair_lines(pair)))
    yield Section("What it took", 3, rows=metric_rows(pair))
    for field in dict.fromkeys(group.field for group in pair.groups):
        yield Section(f"By {field}", 3, rows=group_rows(pair, field))
    yield Section("Settings that differ", 3, rows=setting_rows(pair))
    for what, flips in (
        ("won", [one for one in pair.flips if one.sure > 0]),
        ("lost", [one for one in pair.flips if one.sure < 0]),
    ):
        more = (f"{len(flips) - MOST_FLIPS:,} more are in report.json",)
        yield Section(
            f"Tasks {what}: {len(flips):,}",
            3,
            lines=more if len(flips) > MOST_FLIPS else (),
            rows=flip_rows(flips[:MOST_FLIPS]),
        )
