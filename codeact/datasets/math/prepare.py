"""MATH: the problems of level 3 and up, with answers from CRAFT and solutions from MATH itself.

Ids count through the subjects in alphabetical order; in the published files they follow the order
in which a directory happened to be listed. Without CRAFT's files (a hub's copy, the archive alone)
answers are taken from the solutions.
"""

from collections.abc import Iterator
from pathlib import Path

from codeact.datasets.math.solutions import (
    answer_in,
    by_problem,
    records_with_solutions,
    subject_of,
)
from codeact.datasets.preparing.base import Choice, Journal, Made, Preparer
from codeact.datasets.preparing.raw import Raw, missing

_CRAFT = "preprocessed-CRAFT/train/*.jsonl"


def _read(raw: Raw, choice: Choice, journal: Journal) -> Iterator[Made]:
    if not raw.has(_CRAFT):
        yield from _of_solutions(raw, choice, journal)
        return
    solutions = by_problem(raw, journal)
    first = 0
    for path in raw.find(_CRAFT):
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


def _of_solutions(raw: Raw, choice: Choice, journal: Journal) -> Iterator[Made]:
    seen = kept = 0
    for number, record in enumerate(records_with_solutions(raw)):
        seen += 1
        if problem := missing(record, "problem", "level", "type", "solution"):
            journal.refuse(record.where, problem)
        elif (subject := subject_of(record.value["type"])) is None:
            journal.refuse(record.where, f"field 'type' is {record.value['type']!r:.40}")
        elif choice.levels is None or record.value["level"] in choice.levels:
            problem, solution = record.value["problem"], record.value["solution"]
            if (answer := answer_in(solution)) is None:
                journal.refuse(record.where, "field 'solution' marks no answer by \\boxed")
                continue
            kept += 1
            fields = {"question": problem, "answer": answer, "level": record.value["level"]}
            yield Made(subject, _row(fields, number, {problem: solution}), record.where)
    journal.step("level, all subjects", seen, kept)


PREPARER = Preparer(
    name="math",
    family="math_train",
    source="lifan-yuan/CRAFT (tab_and_math/MATH/dataset/train) and hendrycks/math (MATH/train)",
    licence="MIT (hendrycks/math)",
    read=_read,
    choice=Choice(levels=("Level 3", "Level 4", "Level 5")),
    hub_split="train",
)
