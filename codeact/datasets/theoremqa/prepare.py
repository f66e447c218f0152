"""TheoremQA: the prompt says which form the answer has; questions about a picture are left out."""

from collections.abc import Iterator

from codeact.datasets.preparing.base import Choice, Journal, Made, Preparer
from codeact.datasets.preparing.raw import Raw, missing

_FORMATS = {
    "float": " Output format required: float",
    "integer": " Output format required: integer",
    "list of integer": " Output format required: list of integers, such as [1, 2, 3]",
    "list of float": " Output format required: list of floats, such as [1.0, 2.0, 3.0]",
    "option": " Output format required: option.",
}


def _read(raw: Raw, _choice: Choice, journal: Journal) -> Iterator[Made]:
    seen = kept = 0
    for record in raw.records("theoremqa_test.json"):
        seen += 1
        value = record.value
        if problem := missing(record, "Question", "Answer_type"):
            journal.refuse(record.where, problem)
        elif "Answer" not in value:
            journal.refuse(record.where, "field 'Answer' is missing")
        elif value.get("Picture") is None:
            kept += 1
            row = {
                "id": seen - 1,
                "prompt": value["Question"] + _FORMATS.get(value["Answer_type"], ""),
                "reference": value["Answer"],
                "answer_type": value["Answer_type"],
            }
            yield Made("theoremqa", row, record.where)
    journal.step("without a picture", seen, kept)


PREPARER = Preparer(
    name="theoremqa",
    family="theoremqa",
    source="wenhuchen/TheoremQA, theoremqa_test.json",
    licence="MIT",
    read=_read,
    hub_split="test",
)
