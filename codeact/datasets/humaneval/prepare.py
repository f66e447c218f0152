"""HumanEval: the head of a function; its tests end in a call of ``check``."""

from collections.abc import Iterator

from codeact.datasets.preparing.base import Choice, Journal, Made, Preparer
from codeact.datasets.preparing.raw import Raw, missing

_FIELDS = ("task_id", "prompt", "entry_point", "canonical_solution", "test")


def _read(raw: Raw, _choice: Choice, journal: Journal) -> Iterator[Made]:
    for number, record in enumerate(raw.records("HumanEval.jsonl.gz", "HumanEval.jsonl")):
        if problem := missing(record, *_FIELDS):
            journal.refuse(record.where, problem)
            continue
        value = record.value
        row = {
            "prompt": value["prompt"].strip(),
            "id": number,
            "reference": f"\n{value['test']}\ncheck({value['entry_point']})",
            **{name: value[name] for name in _FIELDS if name != "prompt"},
        }
        yield Made("humaneval", row, record.where)


PREPARER = Preparer(
    name="humaneval",
    family="humaneval",
    source="openai/human-eval, data/HumanEval.jsonl.gz",
    licence="MIT",
    read=_read,
    hub_split="test",
)
