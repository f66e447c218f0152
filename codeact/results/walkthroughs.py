"""The table of ``codeact validate`` about walkthroughs: how many solve their tasks, by format."""

from collections.abc import Mapping, Sequence

from rich.table import Table

from codeact.experiment.walkthroughs import Walked
from codeact.results.terminal import wide_console


def show_walkthroughs(walked: Mapping[str, Sequence[Walked]]) -> None:
    """Print a row for each data set and format, then the walkthroughs that solve nothing.

    Prints nothing where no data set has walkthroughs.
    """
    if not any(walked.values()):
        return
    console = wide_console()
    table = Table(title="tasks solved by their walkthroughs", title_justify="left")
    table.add_column("task")
    table.add_column("prompt")
    table.add_column("tasks", justify="right")
    table.add_column("solved", justify="right")
    for name, formats in walked.items():
        for one in formats:
            table.add_row(name, one.prompt, str(one.tasks), str(one.tasks - len(one.stuck)))
    console.print(table)
    for stuck in (one for formats in walked.values() for found in formats for one in found.stuck):
        text = f"not solved: {stuck.task}, prompt={stuck.prompt}: {stuck.reason}"
        console.print(text, markup=False, highlight=False, soft_wrap=True)
