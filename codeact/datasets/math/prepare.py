"""MATH: the problems of level 3 and up, with answers from CRAFT and solutions from MATH itself.

Ids count through the subjects in alphabetical order; in the published files they follow the order
in which a directory happened to be listed.
"""

from collections.abc import Iterator
from pathlib import Path

from codeact.datasets.preparing.base import Choice, Journal, Made, Preparer
from codeact.datasets.preparing.raw import Raw, missing


def _solutions(raw: Raw, journal: Journal) -> dict[str, str]:
    found = {}
    for path in raw.find("MATH/train/*/*.json"):
        if (record := raw.one(path)) is None:
            continue
        if problem := missing(record, "problem", "solution"):
            journal.refuse(record.where, problem)
        else:
            found[record.value["problem"]] = record.value["solution"]
    return found


def _read(raw: Raw, choice: Choice, journal: Journal) -> Iterator[Made]:
    solutions = _solutions(raw, journal)
    first = 0
    for path in raw.find("preprocessed-CRAFT/train/*.jsonl"):
        seen = kept = 0
        for record in raw.lines(path):
            seen += 1
            if problem := missing(record, "question", "answer", "level"):
                journal.refuse(record.where, problem)
            elif choice.levels is None or record.value["level"] in choice.levels:
                kept += 1
                number = first + int(record.where.rpartition(" ")[2]) - 1
                yield Made(path.stem, _row(record.value, number, solutions), record.where)
        journal.step(f"level, {path.stem}", seen, kept)
        first += _count_lines(raw, path)


def _row(value: dict[str, str], number: int, solutions: dict[str, str]) -> dict[str, object]:
    fields = {name: value[name] for name in ("question", "answer", "level")}
    return {**fields, "id": number, "extra": {"raw_solution": solutions.get(value["question"])}}


def _count_lines(raw: Raw, path: Path) -> int:
    return raw.content(path).count(b"\n")


PREPARER = Preparer(
    name="math",
    family="math_train",
    source="lifan-yuan/CRAFT (tab_and_math/MATH/dataset/train) and hendrycks/math (MATH/train)",
    licence="MIT (hendrycks/math)",
    read=_read,
    choice=Choice(levels=("Level 3", "Level 4", "Level 5")),
)
