"""The tables of a study as rows of text; the first row is the head."""

from collections.abc import Callable, Iterator
from itertools import chain

from codeact.results.comparison.curves import limit_of
from codeact.results.comparison.model import IntervalEstimate, RunReport
from codeact.results.comparison.rows import Rows
from codeact.results.comparison.words import number, p_in_words, percent, points
from codeact.results.studies.model import FormatReport, StudyGroup, StudyReport
from codeact.results.studies.settings import TableName
from codeact.statistics.curve import Curve, curve


def rate_rows(report: StudyReport) -> Rows:
    """Return each run's rate, and its difference to the baseline of its group."""
    rows = [["", report.over, "tasks", "success [95 %]", "difference [95 %]", "p (Holm)"]]
    for group in report.compared:
        found = {pair.b: pair for pair in group.comparison.pairs}
        for run in group.comparison.runs:
            pair = found.get(run.name)
            differs = (
                ["", ""] if pair is None else [points(pair.difference), p_in_words(pair.p_holm)]
            )
            rows.append([group.name, run.name, f"{run.tasks:,}", percent(run.success), *differs])
    return rows


def curve_of(group: StudyGroup) -> Curve:
    """Return success by the limit of turns, with the line through it.

    As in the published benchmark: each limit is a run of its own, and slope and r² are those of
    least squares.
    """
    limits = ((limit_of(run.turn_setting), run.success) for run in group.comparison.runs)
    return curve({k: one.value for k, one in limits if k is not None and one is not None})


def limit_rows(report: StudyReport) -> Rows:
    """Return success in % by the limit of turns, with slope and r²."""
    curves = {group.name: curve_of(group) for group in report.groups}
    limits = sorted({k for found in curves.values() for k in found.rates})
    rows = [["", *(f"k = {k}" for k in limits), "slope", "r²"]]
    for name, found in curves.items():
        rates = [f"{100 * found.rates[k]:.2f}" if k in found.rates else "-" for k in limits]
        slope = "-" if found.slope is None else number(100 * found.slope, 2, signed=True)
        fit = "-" if found.r_squared is None else f"{found.r_squared:.2f}"
        rows.append([name, *rates, slope, fit])
    return rows


def feedback_rows(report: StudyReport) -> Rows:
    """Return what each feedback provider and kind of feedback is worth.

    The delta is that of the rates; the paired difference is over the tasks of both runs.
    """
    head = ["", "provider", "kind", "success %", "delta", "paired [95 %]"]
    rows = [[*head, "feedback tokens a task"]]
    for group in report.compared:
        pairs = {pair.b: pair for pair in group.comparison.pairs}
        first = group.comparison.runs[0].success
        for run in group.comparison.runs:
            provider, _, kind = run.name.rpartition("/")
            pair, tokens = pairs.get(run.name), run.means.get("feedback tokens")
            rows.append(
                [
                    group.name,
                    provider or "-",
                    kind,
                    "-" if run.success is None else f"{100 * run.success.value:.2f}",
                    "-" if pair is None else _delta(run.success, first),
                    "-" if pair is None else points(pair.difference),
                    "-" if tokens is None else number(tokens.value, 0),
                ]
            )
    return rows


def _delta(one: IntervalEstimate | None, other: IntervalEstimate | None) -> str:
    if one is None or other is None:
        return "-"
    return number(100 * (one.value - other.value), 1, signed=True)


def format_rows(report: StudyReport) -> Rows:
    """Return how policies kept to each format, and what a success took."""
    head = ["", report.over, "success [95 %]", "messages", "refused actions", "invented"]
    rows = [[*head, "actions a message", "turns a task", "tokens/success"]]
    for group, run, found in _formats(report):
        conduct = found.conduct
        turns, tokens = run.means.get("turns"), run.per_success.get("tokens")
        rows.append(
            [
                group.name,
                run.name,
                percent(run.success),
                f"{conduct.messages:,}",
                _share(conduct.refused, conduct.actions),
                _share(conduct.invented, conduct.messages),
                "-" if not conduct.messages else f"{conduct.actions / conduct.messages:.2f}",
                "-" if turns is None else f"{turns.value:.2f}",
                "-" if tokens is None else number(tokens.value, 0),
            ]
        )
    return rows


def failure_rows(report: StudyReport) -> Rows:
    """Return of what class the unsolved episodes of each run are."""
    found = list(_formats(report))
    classes = sorted({name for _, _, one in found for name in one.failures})
    rows = [["", report.over, "episodes", "solved", *classes]]
    for group, run, one in found:
        solved = one.episodes - sum(one.failures.values())
        counts = [f"{one.failures.get(name, 0):,}" for name in classes]
        rows.append([group.name, run.name, f"{one.episodes:,}", f"{solved:,}", *counts])
    return rows


def _formats(report: StudyReport) -> Iterator[tuple[StudyGroup, RunReport, FormatReport]]:
    for group in report.compared:
        for run in group.comparison.runs:
            if (found := group.formats.get(run.name)) is not None:
                yield group, run, found


def _share(part: int, whole: int) -> str:
    return f"{part:,} ({part / whole:.1%})" if whole else f"{part:,}"


TABLES: dict[TableName, tuple[str, Callable[[StudyReport], Rows]]] = {
    "turns": ("Success in % by the limit of turns", limit_rows),
    "feedback": ("What feedback is worth", feedback_rows),
    "formats": ("How policies kept to the format", format_rows),
    "failures": ("How episodes ended", failure_rows),
}
"""Title and rows of each table that a study can name."""


def without_group(rows: Rows) -> Rows:
    """Leave out the first column, which names the group, where there is only one."""
    return [row[1:] for row in rows] if len({row[0] for row in rows[1:]}) == 1 else rows


def conclusions(report: StudyReport) -> list[str]:
    """Return a line for each comparison of the study."""
    one = len(report.compared) == 1
    named = (
        [
            pair.in_words if one else f"{group.name}: {pair.in_words}"
            for pair in group.comparison.pairs
        ]
        for group in report.compared
    )
    return list(chain.from_iterable(named))
