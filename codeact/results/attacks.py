"""Table and file of what passed without solving anything, by data set and grading mode."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from rich.table import Table

from codeact.exceptions import ConfigError
from codeact.experiment.attacking import AttackReport, Passed
from codeact.files import replacing
from codeact.graders.attacks import ATTACKS
from codeact.results.terminal import wide_console

_MOST_SHOWN = 20
_SHOWN = 80

Reports = Mapping[str, Sequence[AttackReport]]
"""Of each data set by its name: one report for each grading mode."""


def show_attacks(reports: Reports, files: Mapping[str, str]) -> None:
    """Print the share of tasks that each attack passes, then what should not have passed."""
    console = wide_console()
    table = Table(
        title="% of tasks that an attack passes without solving them", title_justify="left"
    )
    for name in ("task", "grading"):
        table.add_column(name, no_wrap=True)
    for name in ("tasks", "any", *(one.name for one in ATTACKS)):
        table.add_column(name, justify="right")
    for name, several in reports.items():
        for report in several:
            counts = [report.attacked, *(report.count(one.name) for one in ATTACKS)]
            shares = [_percent(count, report.tasks) for count in counts]
            table.add_row(name, report.mode, str(report.tasks), *shares)
    console.print(table)
    for name, several in reports.items():
        for line in _remarks(files[name], several):
            console.print(line, markup=False, highlight=False, soft_wrap=True)


def write_attacks(reports: Reports, path: Path) -> None:
    """Write the table and everything that passed as JSON; raises `ConfigError`."""
    rows = [_row(name, report) for name, several in reports.items() for report in several]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as file:
            file.write(msgspec.json.format(msgspec.json.encode(rows)) + b"\n")
    except OSError as error:
        raise ConfigError(f"attacks_out={path}: cannot be written ({error.strerror})") from error


def _row(name: str, report: AttackReport) -> dict[str, Any]:
    return {
        "task": name,
        "family": report.family,
        "mode": report.mode,
        "tasks": report.tasks,
        "any": _share(report.attacked, report),
        "share": {one.name: _share(report.count(one.name), report) for one in ATTACKS},
        "seconds": round(report.seconds, 3),
        "passed": report.passed,
    }


def _share(count: int, report: AttackReport) -> float:
    """Of tasks; a limit may have left a data set without any."""
    return count / report.tasks if report.tasks else 0.0


def _remarks(file: str, reports: Sequence[AttackReport]) -> list[str]:
    lines = []
    for report in reports:
        if report.mode == "strict":
            lines += _listed(f"passes: {file}", report.forged)
        elif report.forged:
            lines.append(
                f"the published rules let pass: {file}: {report.attacked} of {report.tasks} tasks"
            )
        lines += _listed(f"no verdict: {file}: {report.mode}", report.unjudged)
        if report.right:
            tasks = sorted({one.task for one in report.right})
            lines.append(f"is the answer, and right: {file}: {report.mode}: {', '.join(tasks)}")
    return lines


def _listed(head: str, found: Sequence[Passed]) -> list[str]:
    lines = [
        f"{head}: {one.task}: {one.attack}: {one.answer[:_SHOWN]!r}: {one.detail[:_SHOWN]}"
        for one in found[:_MOST_SHOWN]
    ]
    more = len(found) - _MOST_SHOWN
    return [*lines, f"{head}: {more} more such; attacks_out=FILE lists all"] if more > 0 else lines


def _percent(count: int, tasks: int) -> str:
    return f"{100 * count / tasks:.1f}" if count else "0"
