"""HotpotQA: questions of the hard level, of which the published collection drew 3,000."""

from collections.abc import Iterator

from codeact.datasets.preparing.base import Choice, Journal, Made, Preparer
from codeact.datasets.preparing.drawing import drawn
from codeact.datasets.preparing.raw import Raw, missing


def _read(raw: Raw, choice: Choice, journal: Journal) -> Iterator[Made]:
    rows: list[Made] = []
    seen = 0
    for number, record in enumerate(raw.records("*train*.json", "dev_hf_format.json", "*.json")):
        seen += 1
        if problem := missing(record, "question", "answer", "level"):
            journal.refuse(record.where, problem)
        elif choice.levels is None or record.value["level"] in choice.levels:
            row = {
                "id": number,
                "prompt": record.value["question"],
                "reference": record.value["answer"],
            }
            rows.append(Made("hotpotqa", row, record.where))
    journal.step(f"level {', '.join(choice.levels or ('any',))}", seen, len(rows))
    if choice.sample is not None and len(rows) > choice.sample:
        journal.step(f"drawn with seed {choice.seed}", len(rows), choice.sample)
        rows = drawn(rows, choice.sample, choice.seed)
    yield from rows


PREPARER = Preparer(
    name="hotpotqa",
    family="hotpotqa",
    source="hotpotqa/hotpot, hotpot_train_v1.1.json",
    licence="CC BY-SA 4.0",
    read=_read,
    choice=Choice(sample=3000, levels=("hard",)),
    hub_split="train",
)
