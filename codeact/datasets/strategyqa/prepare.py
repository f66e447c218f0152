"""StrategyQA: yes-or-no questions; the raw answer is true or false."""

from collections.abc import Iterator

from codeact.datasets.preparing.base import Choice, Journal, Made, Preparer
from codeact.datasets.preparing.raw import Raw, missing


def _read(raw: Raw, _choice: Choice, journal: Journal) -> Iterator[Made]:
    for number, record in enumerate(raw.records("train.json", "*train*.json", "dev.json")):
        if problem := missing(record, "question"):
            journal.refuse(record.where, problem)
        elif not isinstance(answer := record.value.get("answer"), bool):
            journal.refuse(record.where, "field 'answer' is not true or false")
        else:
            row = {
                "id": number,
                "prompt": record.value["question"],
                "reference": "yes" if answer else "no",
            }
            yield Made("strategyqa", row, record.where)


PREPARER = Preparer(
    name="strategyqa",
    family="strategyqa",
    source="eladsegal/strategyqa, data/strategyqa",
    licence="MIT",
    read=_read,
    hub_split="train",
)
