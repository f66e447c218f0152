"""Tables of WikiTableQuestions: the CSV file, or its TSV twin where pandas cannot parse that."""

import io
from pathlib import Path
from typing import TYPE_CHECKING

from codeact.edge.preparing.base import Journal
from codeact.edge.preparing.raw import Raw
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
