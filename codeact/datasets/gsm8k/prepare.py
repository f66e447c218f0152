"""GSM8K: the number after the last ``####`` of a worked answer."""

from collections.abc import Iterator

from codeact.datasets.preparing.base import Choice, Journal, Made, Preparer
from codeact.datasets.preparing.raw import Raw, missing

_FORMAT = " Solution output format: an integer. "


def _read(raw: Raw, _choice: Choice, journal: Journal) -> Iterator[Made]:
    for number, record in enumerate(raw.records("test.jsonl", "train.jsonl")):
        if problem := missing(record, "question", "answer"):
            journal.refuse(record.where, problem)
            continue
        _, marked, answer = record.value["answer"].rpartition("####")
        if not marked:
            journal.refuse(record.where, "field 'answer' has no ####, which the number follows")
            continue
        row = {
            "id": number,
            "prompt": record.value["question"] + _FORMAT,
            "reference": answer.strip().replace(",", ""),
        }
        yield Made("gsm8k", row, record.where)


PREPARER = Preparer(
    name="gsm8k",
    family="gsm8k",
    source="openai/grade-school-math, grade_school_math/data",
    licence="MIT",
    read=_read,
    hub_split="test",
)
