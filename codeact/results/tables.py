"""Tables of runs for the terminal."""

from collections.abc import Mapping

from rich.console import Console
from rich.table import Table

from codeact.experiment.summary import Summary, Tally


def show_run(title: str, summary: Summary) -> None:
    """One row for each data set and one for all of them."""
    table = Table(title=title, title_justify="left")
    table.add_column("task")
    for name in ("episodes", "solved", "rate", "turns", "tokens", "feedback tokens"):
        table.add_column(name, justify="right")
    table.add_column("failures")
    for name, tally in sorted(summary.by_task.items()):
        table.add_row(name, *_cells(tally))
    table.add_section()
    table.add_row("all", *_cells(summary.overall))
    _console().print(table)


def show_sweep(summaries: Mapping[str, Summary]) -> None:
    """One row for each run of a sweep."""
    table = Table(title="sweep", title_justify="left")
    table.add_column("run")
    for name in ("episodes", "solved", "rate", "turns", "tokens", "feedback tokens"):
        table.add_column(name, justify="right")
    table.add_column("failures")
    for name, summary in summaries.items():
        table.add_row(name, *_cells(summary.overall))
    _console().print(table)


def show_failures(summaries: Mapping[str, Summary]) -> bool:
    """List every failed episode of every run; answers whether there was one."""
    console = _console()
    found = False
    for name, summary in summaries.items():
        for failure in summary.failures:
            found = True
            text = f"failed: {name}: {failure.id}: {failure.cause}: {failure.error}"
            console.print(text, markup=False, highlight=False, soft_wrap=True)
    return found


def _cells(tally: Tally) -> list[str]:
    rate = "-" if tally.success_rate is None else f"{tally.success_rate:.1%}"
    turns = f"{tally.turns / tally.episodes:.1f}" if tally.episodes else "-"
    causes = ", ".join(f"{cause} {count}" for cause, count in sorted(tally.causes.items()))
    return [
        str(tally.episodes),
        f"{tally.successes}/{tally.counted}",
        rate,
        turns,
        f"{tally.usage.total:,}",
        f"{tally.feedback_usage.total:,}",
        causes or "-",
    ]


def _console() -> Console:
    """Standard output, never narrower than the tables need where it is no terminal."""
    console = Console()
    return console if console.is_terminal else Console(width=120)
