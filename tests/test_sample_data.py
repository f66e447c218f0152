"""The sample data: well-formed, solvable, and true to what the REPL prints."""

import json
import os
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from codeact.episode import protocol
from codeact.episode.prompts.examples import EXAMPLES, WITHOUT_CODE
from codeact.sample import encyclopaedia_path, tasks_path

PLAIN = {"id", "prompt", "reference"}
FIELDS = {
    "gsm8k": PLAIN,
    "math": PLAIN,
    "mmlu": PLAIN,
    "hotpotqa": PLAIN,
    "strategyqa": PLAIN,
    "theoremqa": PLAIN | {"answer_type"},
    "humaneval": PLAIN | {"task_id", "canonical_solution", "test", "entry_point"},
    "mbpp": PLAIN
    | {"task_id", "text", "code", "test_list", "test_setup_code", "challenge_test_list"},
}

# Runs cells read from stdin as the REPL does: one shell, colours off, stdout only.
RUNNER = """
import contextlib, io, json, sys
from IPython.core.interactiveshell import InteractiveShell

given = json.load(sys.stdin)
shell = InteractiveShell.instance(colors="nocolor")
shell.user_ns["wikipedia_search"] = lambda query: given["page"]
if given["rows"]:
    import pandas
    shell.user_ns["df"] = pandas.DataFrame(given["rows"], columns=["Ferry", "Quay", "Cars"])
outputs = []
for cell in given["cells"]:
    stdout = io.StringIO()
    with contextlib.redirect_stdout(stdout):
        shell.run_cell(cell, store_history=True)
    outputs.append(stdout.getvalue())
json.dump(outputs, sys.stdout)
"""


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def load(family: str) -> list[dict[str, Any]]:
    return lines(tasks_path(family))


def options(prompt: str) -> list[str]:
    """The option texts, reduced as the published grader compares them."""
    pieces = prompt.rsplit("Options: ", 1)[1].split(" , ")
    return [piece.split(")", 1)[1].lower().replace(" ", "") for piece in pieces]


@pytest.mark.parametrize("family", FIELDS)
def test_tasks_have_the_published_fields_and_unique_ids(family: str) -> None:
    tasks = load(family)
    assert len(tasks) >= 6
    assert all(set(task) == FIELDS[family] for task in tasks)
    assert len({task["id"] for task in tasks}) == len(tasks)
    assert len({task["prompt"] for task in tasks}) == len(tasks)


def test_there_are_enough_tasks() -> None:
    assert sum(len(load(family)) for family in FIELDS) >= 40


@pytest.mark.parametrize("family", ["gsm8k", "math"])
def test_numeric_references_pass_the_published_comparison(family: str) -> None:
    for task in load(family):
        number = float(task["reference"])
        assert number > 0
        assert task["reference"] == (str(int(number)) if family == "gsm8k" else str(number))


def test_theoremqa_references_have_the_type_they_claim() -> None:
    types = {"bool": bool, "integer": int, "float": float, "list of integer": list, "option": str}
    tasks = load("theoremqa")
    assert {task["answer_type"] for task in tasks} == set(types)
    for task in tasks:
        assert type(task["reference"]) is types[task["answer_type"]]


def test_mmlu_options_cannot_be_taken_for_each_other() -> None:
    for task in load("mmlu"):
        texts = options(task["prompt"])
        assert len(texts) == 4
        assert task["reference"] in "abcd"
        assert not any(a in b for i, a in enumerate(texts) for j, b in enumerate(texts) if i != j)
        numbers = sorted(int(text) for text in texts if text.isdigit())
        assert all(b - a > 0.05 * b for a, b in pairwise(numbers))


def test_strategyqa_references_are_yes_and_no() -> None:
    assert {task["reference"] for task in load("strategyqa")} == {"yes", "no"}


def test_canonical_solutions_pass_their_tests() -> None:
    for task in load("humaneval"):
        assert task["reference"].endswith(f"check({task['entry_point']})")
        exec(f"{task['prompt']}\n{task['canonical_solution']}\n{task['reference']}", {})
    for task in load("mbpp"):
        assert task["reference"].split("\n") == task["test_list"]
        assert task["prompt"] == f'"""\n{task["text"]}\n{task["test_list"][0]}\n"""\n'
        assert len(task["test_list"]) == 3
        exec(f"{task['code']}\n{task['reference']}", {})


def test_code_references_notice_a_solution_that_does_nothing() -> None:
    for task in load("humaneval"):
        with pytest.raises((AssertionError, TypeError)):
            exec(f"{task['prompt']}\n    return None\n{task['reference']}", {})
    for task in load("mbpp"):
        match = re.search(r"^def (\w+)", task["code"], re.MULTILINE)
        assert match is not None
        with pytest.raises((AssertionError, TypeError)):
            exec(f"def {match[1]}(*args): pass\n{task['reference']}", {})


def test_encyclopaedia_holds_the_answers() -> None:
    pages = lines(encyclopaedia_path())
    assert all(set(page) == {"title", "text"} for page in pages)
    assert len({page["title"] for page in pages}) == len(pages)
    text = "\n".join(page["text"] for page in pages)
    for task in load("hotpotqa"):
        assert re.search(rf"\b{re.escape(task['reference'])}\b", text), task
        # One page is not enough: those that the question names do not hold the answer, unless
        # the question offers it for choice.
        question = task["prompt"].lower()
        named = [page for page in pages if page["title"].lower() in question]
        assert named, task
        for page in named:
            assert task["reference"] not in page["text"] or task["reference"] in task["prompt"]


def ferries(task: str) -> list[list[Any]]:
    """The rows that the tabular example shows, and the two that it says are there besides."""
    shown = [
        line.split()[1:] for line in task.splitlines() if re.match(r"\d +\w+ +\w+ +\d+$", line)
    ]
    beyond = [["Foyers", "Brisk", "52"], ["Gairloch", "Sallow", "61"]]
    return [[name, quay, int(cars)] for name, quay, cars in [*shown, *beyond]] if shown else []


@pytest.mark.parametrize("task_type", EXAMPLES)
def test_examples_show_what_the_repl_prints(task_type: str, tmp_path: Path) -> None:
    task, *turns = EXAMPLES[task_type].split("\n\nAssistant:\n")
    assert task.startswith("Task:\n")
    acting = [turn.split("\n\nObservation:\n") for turn in turns[:-1]]
    assert all(turn.startswith("<thought> ") for turn in turns)
    assert protocol.between_tags(turns[-1], "solution")
    cells = [protocol.between_tags(message, "execute") for message, _ in acting]
    recorded = [observation for _, observation in acting]
    ran = subprocess.run(
        [sys.executable, "-c", RUNNER],
        input=json.dumps({"cells": cells, "page": recorded[0], "rows": ferries(task)}),
        env={**os.environ, "IPYTHONDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert [protocol.render_output(output) for output in json.loads(ran.stdout)] == recorded


def test_examples_are_short_and_contain_no_task() -> None:
    for example in (*EXAMPLES.values(), *WITHOUT_CODE.values()):
        assert len(example.split()) < 450
        for family in FIELDS:
            assert not any(task["prompt"] in example for task in load(family))


def test_the_page_of_the_reasoning_example_is_in_the_encyclopaedia() -> None:
    page = next(page for page in lines(encyclopaedia_path()) if page["title"] == "Kettle Bridge")
    assert f"Page: {page['title']}\nSummary: {page['text']}" in EXAMPLES["reasoning"]


@pytest.mark.parametrize("examples", [EXAMPLES, WITHOUT_CODE])
def test_proposed_code_of_the_example_passes_its_own_task(examples: dict[str, str]) -> None:
    example = examples["code_generation"]
    line = next(line for line in example.splitlines() if line.startswith("assert "))
    names: dict[str, object] = {}
    exec(protocol.between_tags(example, "solution") or "", names)
    assert eval(line.removeprefix("assert "), names)
