"""WikiTableQuestions' questions and tables.

A table is read from its CSV file, or from the TSV twin where pandas cannot parse that.
"""

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from codeact.datasets.preparing.base import Journal
from codeact.datasets.preparing.raw import Raw
from codeact.datasets.wiki_table_questions.table_text import shown
from codeact.exceptions import TaskFileError

if TYPE_CHECKING:
    from pandas import DataFrame  # type: ignore[import-untyped]


def read_table(raw: Raw, path: Path, journal: Journal) -> "DataFrame | None":
    """Read a table; None, told to the journal, if neither of its files can be parsed."""
    twin = path.with_suffix(".tsv")
    try:
        return _parsed(raw.content(path), ",")
    except (ValueError, TaskFileError) as error:
        trouble = f"is no table ({str(error).strip()})"
    try:
        table = _parsed(raw.content(twin), "\t")
    except (ValueError, TaskFileError) as error:
        journal.refuse(str(path), f"{trouble}, nor is {twin.name} ({str(error).strip()})")
        return None
    journal.note(f"{path} {trouble}; {twin.name} is read instead")
    return table


def _parsed(content: bytes, separator: str) -> "DataFrame":
    import pandas

    return pandas.read_csv(
        io.BytesIO(content), sep=separator, keep_default_na=False, na_values=list(MISSING)
    )


MISSING = (
    "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN",
    "<NA>", "N/A", "NA", "NULL", "NaN", "n/a", "nan", "null",
)  # fmt: skip
"""What pandas 1 reads as a missing value; later versions take the word None for one as well."""


class Contents(NamedTuple):
    """What a task has of its table: the text of the first rows, and all rows by column."""

    first_rows: str
    rows: list[dict[str, Any]]


def contents(raw: Raw, path: Path, journal: Journal) -> Contents:
    """Read again a table whose shape is known: only some of the tables are asked about."""
    table = read_table(raw, path, journal)
    assert table is not None
    return Contents(shown(table), json.loads(table.to_json(orient="records")))


class Question(NamedTuple):
    """A question, and the rows and columns of its table."""

    where: str
    id: str
    text: str
    context: str
    answer: str
    shape: tuple[int, int]


def _shapes(raw: Raw, root: Path, journal: Journal) -> dict[str, tuple[int, int]]:
    paths = sorted(root.glob("csv/*/*.csv"))
    tables = ((path, read_table(raw, path, journal)) for path in paths)
    shapes = {
        str(path.relative_to(root)): table.shape for path, table in tables if table is not None
    }
    journal.step("tables read", len(paths), len(shapes))
    return shapes


def read_questions(raw: Raw, root: Path, journal: Journal) -> Iterator[Question]:
    """Read ``training.tsv``, with quotes as published; tells what cannot be used to the journal."""
    shapes = _shapes(raw, root, journal)
    path = root / "data" / "training.tsv"
    reader = csv.reader(io.StringIO(raw.text(path), newline=""), delimiter="\t")
    begin = reader.line_num + 1
    for row in reader:
        where, end = f"{path}, line {begin}", reader.line_num
        if end > begin:
            journal.note(f"{where}: a stray quote joins the lines up to {end} to one record")
        begin = end + 1
        if row[:1] == ["id"]:
            continue
        if len(row) != 4 or not all(row):
            journal.refuse(where, f"has {len(row)} fields: 4, none empty, are a question")
            continue
        context = row[2]
        if (shape := shapes.get(context)) is None:
            journal.refuse(where, f"its table {context} is not there or cannot be read")
        else:
            yield Question(where, row[0], row[1], context, row[3], shape)
