r"""MATH's worked solutions, whose answers are marked by ``\boxed``."""

import re
from collections.abc import Iterator

from codeact.datasets.preparing.addresses import MATH_SUBJECTS
from codeact.datasets.preparing.base import Journal
from codeact.datasets.preparing.raw import Raw, Record, missing

_FILES = "MATH/train/*/*.json"
_BOX = re.compile(r"\\(?:boxed|fbox)\s*(?=(\{)|([^\s{$]))")


def by_problem(raw: Raw, journal: Journal) -> dict[str, str]:
    """The solutions of the archive by their problems; none, told to the journal, without it."""
    if not raw.has(_FILES):
        journal.note("MATH's own files are not there: the rows have no raw_solution")
        return {}
    found = {}
    for path in raw.find(_FILES):
        if (record := raw.one(path)) is None:
            continue
        if problem := missing(record, "problem", "solution"):
            journal.refuse(record.where, problem)
        else:
            found[record.value["problem"]] = record.value["solution"]
    return found


def records_with_solutions(raw: Raw) -> Iterator[Record]:
    """Problems with their solutions: a file for each in the archive, else the records of a hub."""
    if not raw.has(_FILES):
        yield from raw.records("preprocessed-CRAFT/train/*.jsonl", _FILES, "train.jsonl")
        return
    for path in raw.find(_FILES):
        if (record := raw.one(path)) is not None:
            yield record


def subject_of(title: str) -> str | None:
    """The name of a subject's task file, ``counting_and_probability``; None for no subject."""
    name = title.lower().replace("&", "and").replace(" ", "_")
    return name if name in MATH_SUBJECTS else None


def answer_in(solution: str) -> str | None:
    r"""Return what the last ``\boxed`` marks; None if there is none, or it is not closed."""
    boxes = list(_BOX.finditer(solution))
    if not boxes:
        return None
    box = boxes[-1]
    if box[1] is None:
        return box[2]
    depth = 0
    for at in range(box.end(), len(solution)):
        if solution[at] == "{":
            depth += 1
        elif solution[at] == "}" and (depth := depth - 1) == 0:
            return solution[box.end() + 1 : at].strip() or None
    return None
