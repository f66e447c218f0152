"""APPS: programs and functions, from one JSONL file or the archive's folder for each problem."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from codeact.datasets.preparing.base import Choice, Journal, Made, Preparer
from codeact.datasets.preparing.raw import Raw, Record, missing

_PROGRAM = "You should write code that expect inputs from stdin and print outputs (to stdout)."
_FUNCTION = "You should complete the provided starter code by filling in the function body for {}."
_FILES = ("question.txt", "input_output.json", "solutions.json", "starter_code.py")
_FIELDS = ("problem_id", "question", "solutions", "input_output", "difficulty", "url")


def _records(raw: Raw) -> Iterator[Record]:
    if not raw.has("train/*/metadata.json"):
        yield from raw.records("train.jsonl", "train.jsonl.gz")
        return
    for where, value in raw.folders("train/*/metadata.json", *_FILES):
        number = int(name) if (name := Path(where).name).isdecimal() else name
        yield Record(where, {"problem_id": number, "solutions": "", "input_output": "", **value})


def _cases(record: Record, journal: Journal) -> dict[str, Any] | None:
    try:
        cases = json.loads(record.value["input_output"])
    except ValueError as error:
        journal.refuse(record.where, f"field 'input_output' is not valid JSON: {error}")
        return None
    if not isinstance(cases, dict) or not {"inputs", "outputs"} <= cases.keys():
        journal.refuse(record.where, "field 'input_output' has no inputs and outputs")
        return None
    return cases


def _row(value: dict[str, Any], cases: dict[str, Any]) -> dict[str, Any]:
    name = cases.get("fn_name")
    order = _FUNCTION.format(name) if name else _PROGRAM
    row = {("reference" if name == "input_output" else name): value[name] for name in _FIELDS}
    starter = value.get("starter_code") or ""
    prompt = f"{value['question']}\n{starter}\n{order}"
    return {**row, "starter_code": starter, "prompt": prompt}


def _read(raw: Raw, choice: Choice, journal: Journal) -> Iterator[Made]:
    seen = tested = levelled = kept = 0
    for record in _records(raw):
        seen += 1
        if problem := missing(record, *_FIELDS[1:]):
            journal.refuse(record.where, problem)
            continue
        if not record.value["input_output"].strip():
            continue
        tested += 1
        if choice.levels is not None and record.value["difficulty"] not in choice.levels:
            continue
        levelled += 1
        if (cases := _cases(record, journal)) is None or not cases["inputs"]:
            continue
        kept += 1
        stem = "apps.fewshot" if kept <= choice.few_shot else "apps"
        yield Made(stem, _row(record.value, cases), record.where)
    journal.step("with a reference", seen, tested)
    journal.step("of the difficulties", tested, levelled)
    journal.step("with test cases", levelled, kept)


PREPARER = Preparer(
    name="apps",
    family="apps",
    source="codeparrot/apps, train.jsonl (hendrycks/apps)",
    licence="MIT",
    read=_read,
    choice=Choice(levels=("introductory", "interview", "competition"), few_shot=10),
    hub_split="train",
)
