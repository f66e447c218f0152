"""A comparison as tables of the terminal."""

from collections.abc import Sequence

from rich.table import Table

from codeact.results.comparison.model import ComparisonReport, Flip, PairReport
from codeact.results.comparison.rows import (
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
from codeact.results.terminal import wide_console

_MOST_SETTINGS = 15


def show_comparison(report: ComparisonReport, flips: int) -> None:
    """Print the runs, what was found, and for two runs also by what; `flips` of each kind."""
    show_table("runs", run_rows(report.runs))
    if any(run.pass_at_k for run in report.runs):
        show_table("several samples", sample_rows(report.runs))
    if len(report.pairs) > 1:
        show_table(f"against {report.runs[0].name}", matrix_rows(report.pairs))
    else:
        for pair in report.pairs:
            _show_pair(pair, flips)
    show_table("success against turns", curve_rows(report.curves))
    for note in report.notes:
        show_line(note)
    for pair in report.pairs:
        for line in pair_lines(pair):
            show_line(line)


def _show_pair(pair: PairReport, flips: int) -> None:
    show_table("paired differences", metric_rows(pair))
    for field in dict.fromkeys(group.field for group in pair.groups):
        show_table(f"success by {field}", group_rows(pair, field))
    show_table("settings that differ", setting_rows(pair, _MOST_SETTINGS))
    _show_flips("won", [one for one in pair.flips if one.sure > 0], flips)
    _show_flips("lost", [one for one in pair.flips if one.sure < 0], flips)


def _show_flips(what: str, found: Sequence[Flip], most: int) -> None:
    if found and most:
        show_table(f"tasks {what}: {len(found):,}", flip_rows(found[:most]))
        if (more := len(found) - most) > 0:
            show_line(f"and {more:,} more; out=DIR writes all")


def show_table(title: str, rows: Sequence[Sequence[str]]) -> None:
    """Print rows, of which the first is the head; nothing without others."""
    if len(rows) < 2:
        return
    table = Table(title=title, title_justify="left")
    for number, name in enumerate(rows[0]):
        table.add_column(name, justify="right" if number else "left", overflow="fold")
    for row in rows[1:]:
        table.add_row(*row)
    wide_console().print(table)


def show_line(text: str) -> None:
    """Print a sentence, however long it is, as one line."""
    wide_console().print(text, markup=False, highlight=False, soft_wrap=True)
