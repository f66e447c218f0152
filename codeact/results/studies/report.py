"""A study on the terminal, and as files: report.md, report.json, report.html and plots."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from codeact.results.comparison.document import Section
from codeact.results.comparison.files import write_document
from codeact.results.comparison.model import IntervalEstimate
from codeact.results.comparison.plots import draw_curves, draw_estimates, save_plots
from codeact.results.comparison.rows import pair_lines, run_rows
from codeact.results.comparison.terminal import show_line, show_table
from codeact.results.studies.model import StudyReport
from codeact.results.studies.rows import TABLES, conclusions, curve_of, rate_rows, without_group
from codeact.results.studies.settings import TableName

if TYPE_CHECKING:
    from matplotlib.axes import Axes


_MOST_CONCLUSIONS = 10
"""Lines on the terminal; the table says the same."""


def show_study(report: StudyReport, tables: list[TableName]) -> None:
    """Print the tables of a study, and what it found."""
    show_table(f"{report.title}: {report.question}", without_group(rate_rows(report)))
    for name in tables:
        title, rows = TABLES[name]
        show_table(title, without_group(rows(report)))
    found = conclusions(report)
    for line in (*report.notes, *(found if len(found) <= _MOST_CONCLUSIONS else ())):
        show_line(line)


def write_study(report: StudyReport, tables: list[TableName], folder: Path) -> None:
    """Write all files of a study, in place of earlier ones; raises `RunFolderError`."""
    drawings = {
        "rates": partial(_rates, report=report),
        "differences": partial(_differences, report=report),
    }
    if "turns" in tables:
        drawings["turns"] = partial(_turns, report=report)
    plots = save_plots(drawings, folder)
    write_document(folder, report.title, report, list(_sections(report, tables)), plots)


def _sections(report: StudyReport, tables: list[TableName]) -> Iterator[Section]:
    yield Section("Question", lines=(report.question,))
    yield Section("What was found", lines=(*conclusions(report), *report.notes))
    yield Section(
        "Success",
        rows=without_group(rate_rows(report)),
        plot="rates",
        about="success rate of each run with its 95 % interval",
    )
    yield Section(
        f"Differences to {report.baseline}",
        plot="differences",
        about="paired differences in success to the baseline, with their 95 % intervals",
    )
    for name in tables:
        title, rows = TABLES[name]
        plot = name if name == "turns" else ""
        yield Section(title, rows=without_group(rows(report)), plot=plot, about=title)
    for group in report.compared:
        yield Section(f"Runs of {group.name}", rows=run_rows(group.comparison.runs))
        for pair in group.comparison.pairs:
            lines = tuple(pair_lines(pair)[:-1])
            yield Section(f"{group.name}: {pair.b} against {pair.a}", 3, lines=lines)


def _labels(report: StudyReport, group: str, run: str) -> str:
    return run if len(report.compared) == 1 else f"{group}: {run}"


def _rates(axes: "Axes", report: StudyReport) -> bool:
    rows: list[tuple[str, IntervalEstimate]] = [
        (_labels(report, group.name, run.name), run.success)
        for group in report.compared
        for run in group.comparison.runs
        if run.success is not None
    ]
    axes.set_xlabel("success in %, with 95 % interval")
    return draw_estimates(axes, rows)


def _differences(axes: "Axes", report: StudyReport) -> bool:
    rows = [
        (_labels(report, group.name, pair.b), pair.difference)
        for group in report.compared
        for pair in group.comparison.pairs
        if pair.difference is not None
    ]
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_xlabel(f"difference to {report.baseline} in points, with 95 % interval")
    return draw_estimates(axes, rows)


def _turns(axes: "Axes", report: StudyReport) -> bool:
    curves = [(group.name, curve_of(group)) for group in report.compared]
    axes.set_xlabel("limit of turns")
    return draw_curves(axes, [(name, one) for name, one in curves if len(one.rates) > 1])
