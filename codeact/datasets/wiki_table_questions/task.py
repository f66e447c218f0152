"""WikiTableQuestions: questions about a table that waits in the session, as `df` or `conn`."""

import json
from typing import Any

from codeact.datasets.family import Check, Family, Row, any_text, kind, text
from codeact.episode.task import Task
from codeact.graders import denotation

_FORMS = ("sql", "pandas")

_FRAME = """
def _frame():
    import json, pandas
    return pandas.DataFrame(json.loads({rows!r}), columns={columns!r})
"""
_PANDAS = _FRAME + "df = _frame()\ndel _frame\n"
_SQL = (
    _FRAME
    + """
def _connection():
    import sqlite3
    frame, names = _frame(), []
    for name in frame.columns:
        # SQLite's names do not differ by case alone, a table's headings may.
        while name.lower() in [other.lower() for other in names]:
            name += "_"
        names.append(name)
    frame.columns = names
    connection = sqlite3.connect(":memory:")
    frame.to_sql("data_table", connection, index=False)
    return connection
conn = _connection()
del _frame, _connection
"""
)


def _table(value: Any) -> str:
    if isinstance(value, list) and value and all(isinstance(row, dict) for row in value):
        return "" if all(row.keys() == value[0].keys() for row in value) else "has uneven rows"
    return f"must be a list of rows, each an object, but is {kind(value)}"


def _form(value: Any) -> str:
    return "" if value in _FORMS else f"must be one of {', '.join(_FORMS)}, but is {value!r:.40}"


def _fill(row: Row) -> str:
    source = _SQL if row["question_format"] == "sql" else _PANDAS
    table = row["table"]
    return source.format(rows=json.dumps(table), columns=list(table[0]))


def _answer(task: Task) -> str:
    return repr(denotation.values_of(str(task.reference)))


_FIELDS: dict[str, Check] = {"table": _table, "question_format": _form, "table_id": any_text}

FAMILY = Family(
    name="wiki_table_questions",
    task_type="tabular",
    reference=text,
    fields=_FIELDS,
    kept=("table_id", "question_format"),
    correct_answer=_answer,
    setup=_fill,
    graders={"mint": denotation.mint, "strict": denotation.strict},
    split="train",
)
