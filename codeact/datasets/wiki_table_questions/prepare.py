"""WikiTableQuestions: questions about the largest tables, half to ask in SQL, half with pandas.

The order, the draws and the reading of ``training.tsv`` with quotes (which joins four lines to one
record at a stray quote) are the published ones.
"""

from collections.abc import Iterator
from functools import cache
from typing import Any

from codeact.datasets.preparing.base import Choice, Journal, Made, Preparer
from codeact.datasets.preparing.drawing import drawn
from codeact.datasets.preparing.raw import Raw
from codeact.datasets.wiki_table_questions.tables import (
    Contents,
    Question,
    contents,
    read_questions,
)

_SQL = (
    "Write a SQL query to find the answer to the question: {}.\n"
    "The SQLite3 database is preloaded for you and can be accessed within <execute> block via the "
    "variable `conn` (SQLite3 connection object).\nThe table name is `data_table`.\n"
)
_PANDAS = (
    "Write a Pandas query to find the answer to the question: {}.\n"
    "The dataframe is preloaded for you and can be accessed within <execute> block via the "
    "variable `df`.\n"
)
_PROMPT = "Given the following table (only the first 5 rows are shown):\n{}\n\n"


def _read(raw: Raw, choice: Choice, journal: Journal) -> Iterator[Made]:
    root = raw.first("data/training.tsv", "*/data/training.tsv").parents[1]
    found = list(read_questions(raw, root, journal))
    by_size = sorted(found, key=lambda question: question.shape, reverse=True)
    sample = len(found) if choice.sample is None else choice.sample
    kept, rest = by_size[:sample], by_size[sample:]
    journal.step("largest tables", len(found), len(kept))
    examples = rest[max(len(rest) - choice.few_shot, 0) :]
    table = cache(lambda context: contents(raw, root / context, journal))
    for stem, questions in [
        ("wiki_table_questions", kept),
        ("wiki_table_questions.fewshot", examples),
    ]:
        mixed = drawn(questions, len(questions), choice.seed)
        half = len(mixed) // 2
        asked = [(q, "sql" if number < half else "pandas") for number, q in enumerate(mixed)]
        journal.step(f"asked in SQL, {stem}", len(asked), half)
        for question, form in drawn(asked, len(asked), choice.seed):
            yield Made(stem, _row(question, form, table(question.context)), question.where)


def _row(question: Question, form: str, table: Contents) -> dict[str, Any]:
    order = (_SQL if form == "sql" else _PANDAS).format(question.text)
    rows, columns = question.shape
    return {
        "id": question.id,
        "prompt": _PROMPT.format(table.first_rows) + order,
        "context": question.context,
        "reference": question.answer,
        "table_id": question.context.removeprefix("csv/").removesuffix(".csv"),
        "num_rows": rows,
        "num_cols": columns,
        "table": table.rows,
        "question_format": form,
    }


PREPARER = Preparer(
    name="wiki_table_questions",
    family="wiki_table_questions",
    source="ppasupat/WikiTableQuestions, data/training.tsv and csv/",
    licence="CC BY-SA 4.0",
    read=_read,
    choice=Choice(sample=3000, few_shot=50),
)
