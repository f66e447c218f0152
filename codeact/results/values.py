"""What turns were worth: how often the continuations of a recorded episode succeeded."""

import csv
import io
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from rich.table import Table

from codeact.episode.causes import is_own_success
from codeact.recordings.run_folder import open_index, write_whole
from codeact.results.terminal import wide_console

VALUES = "values.csv"
"""Of a run folder: one row for each recorded episode that was continued."""
_SHOWN = 20


class PrefixValue(NamedTuple):
    """The continuations of one recorded episode from one turn.

    `value` is the share of them that succeeded, of those whose outcome is the policy's own; it is
    None where there is none. `unrestored` ones ended in the prefix, which came out otherwise.
    """

    task: str
    sample: int
    recorded_model: str
    recorded_success: bool
    turn: int
    continuations: int
    counted: int
    successes: int
    unrestored: int

    @property
    def value(self) -> float | None:
        return self.successes / self.counted if self.counted else None


def values_of(run: Path) -> list[PrefixValue]:
    """Return the values of a run folder's records, by task and sample."""
    found: dict[tuple[str, int, int], PrefixValue] = {}
    with open_index(run) as index:
        records = [line.record for line in index.every_line() if line.is_newest]
    for record in records:
        if (origin := record.origin) is None:
            continue
        task = f"{record.task_name}/{record.task_id}"
        key = task, origin.sample, origin.turns
        before = found.get(key) or PrefixValue(
            task, origin.sample, origin.model, origin.success, origin.turns, 0, 0, 0, 0
        )
        own = is_own_success(record)
        found[key] = before._replace(
            continuations=before.continuations + 1,
            counted=before.counted + (own is not None),
            successes=before.successes + (own is True),
            unrestored=before.unrestored + (origin.difference is not None),
        )
    return [found[key] for key in sorted(found)]


def write_values(run: Path, values: Iterable[PrefixValue]) -> None:
    """Write ``values.csv``; raises `RunFolderError`."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow([*PrefixValue._fields, "value"])
    rows.writerows([*one, "" if one.value is None else one.value] for one in values)
    write_whole(run / VALUES, text.getvalue(), private=True)


def show_values(values: Sequence[PrefixValue]) -> None:
    """Print one row for each turn, and one for each recorded episode whose value is between."""
    console = wide_console()
    by_turn: dict[int, list[PrefixValue]] = defaultdict(list)
    for one in values:
        by_turn[one.turn].append(one)
    table = Table(title="continuations by turn", title_justify="left")
    names = ("turns restored", "episodes", "continuations", "not restored", "solved", "value")
    for name in (*names, "of solved ones", "of unsolved ones"):
        table.add_column(name, justify="right")
    for turn, ones in sorted(by_turn.items()):
        counted = sum(one.counted for one in ones)
        table.add_row(
            str(turn),
            str(len(ones)),
            str(sum(one.continuations for one in ones)),
            str(sum(one.unrestored for one in ones)),
            f"{sum(one.successes for one in ones)}/{counted}",
            _mean(ones),
            _mean(one for one in ones if one.recorded_success),
            _mean(one for one in ones if not one.recorded_success),
        )
    console.print(table)
    _show_undecided(values)


def _show_undecided(values: Sequence[PrefixValue]) -> None:
    """Print the episodes that some continuations solved and others did not: they tell most."""
    undecided = [one for one in values if one.value not in (None, 0.0, 1.0)]
    if not undecided:
        return
    table = Table(title="episodes that went either way", title_justify="left")
    table.add_column("episode")
    for name in ("turns restored", "as recorded", "solved", "value"):
        table.add_column(name, justify="right")
    for one in undecided[:_SHOWN]:
        table.add_row(
            f"{one.task} (sample {one.sample})",
            str(one.turn),
            "solved" if one.recorded_success else "unsolved",
            f"{one.successes}/{one.counted}",
            f"{one.value:.1%}",
        )
    wide_console().print(table)
    if (more := len(undecided) - _SHOWN) > 0:
        wide_console().print(f"and {more} more in {VALUES}", highlight=False)


def _mean(values: Iterable[PrefixValue]) -> str:
    known = [one.value for one in values if one.value is not None]
    return f"{sum(known) / len(known):.1%}" if known else "-"
