"""A sweep as one table: ``sweep.csv`` and ``sweep.json`` in its folder, one row for each run."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec

from codeact.experiment.summary import Summary, flat_summary
from codeact.recordings.run_folder import write_whole
from codeact.wording import without_secrets

SWEEP_CSV = "sweep.csv"
SWEEP_JSON = "sweep.json"

Status = Literal["finished", "incomplete", "failed"]


class SweepRow(NamedTuple):
    """One run of a sweep.

    `planned` is how many episodes it has in all; `error` is what ended it early, empty if nothing
    did; `summary` is None where its folder cannot be read.
    """

    name: str
    folder: Path
    overrides: tuple[str, ...]
    planned: int
    summary: Summary | None
    error: str = ""

    @property
    def status(self) -> Status:
        """``incomplete`` is a run that was interrupted or has used up its budget."""
        if self.error or self.summary is None:
            return "failed"
        return "finished" if self.summary.overall.episodes >= self.planned else "incomplete"

    @property
    def chosen(self) -> dict[str, str]:
        """The chosen values by key, as they were given."""
        words = [without_secrets(word).lstrip("+") for word in self.overrides]
        pairs = [word.partition("=") for word in words]
        return {key: value for key, _, value in pairs if key != "run_dir"}

    def document(self) -> dict[str, Any]:
        """Return the row as JSON data, with all numbers of the summary."""
        return {
            "run": self.name,
            "folder": str(self.folder),
            "overrides": self.chosen,
            "status": self.status,
            "error": self.error,
            "planned": self.planned,
            **({} if self.summary is None else {"summary": flat_summary(self.summary)}),
        }


def write_sweep(folder: Path, rows: Sequence[SweepRow]) -> None:
    """Write both files; raises `RunFolderError`."""
    documents = [row.document() for row in rows]
    text = msgspec.json.format(msgspec.json.encode(documents), indent=2).decode()
    write_whole(folder / SWEEP_JSON, text + "\n")
    write_whole(folder / SWEEP_CSV, _to_csv(documents))


def _to_csv(documents: Sequence[dict[str, Any]]) -> str:
    """Return one column for each override and each number that any run has."""
    lines = []
    for document in documents:
        nested = {"overrides": document["overrides"], "summary": document.get("summary", {})}
        line = {key: value for key, value in document.items() if key not in nested}
        line |= {f"override:{key}": value for key, value in nested["overrides"].items()}
        lines.append(line | nested["summary"])
    columns = dict.fromkeys(key for line in lines for key in line)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(columns), lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return text.getvalue()
