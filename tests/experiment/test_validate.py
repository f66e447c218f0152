"""Validation lists exactly the tasks whose own reference does not pass."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from codeact.cli import main
from codeact.datasets import get
from codeact.episode.task import Task
from codeact.experiment.validate import validate
from codeact.sandboxes.base import Sandbox
from tests.helpers.sandboxes import started

of_the_module = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sandbox() -> AsyncIterator[Sandbox]:
    sandbox = await started("local")
    yield sandbox
    await sandbox.close()


def math_tasks(*references: str) -> list[Task]:
    rows = [{"id": n, "prompt": "x?", "reference": ref} for n, ref in enumerate(references)]
    return [get("math").task(row) for row in rows]


def program(number: int, code: str, tests: str = "assert f(1) == 2") -> Task:
    row: dict[str, Any] = {"id": number, "prompt": "f", "reference": tests, "code": code}
    return get("mbpp").task({**row, "test_list": [tests]})


@of_the_module
async def test_negative_references_never_pass_in_mint_mode(sandbox: Sandbox) -> None:
    tasks = math_tasks("10.0", "-108.0", "0.0", "-1.0")
    report = await validate(get("math"), tasks, sandbox, "mint")
    assert (report.tasks, report.ok) == (4, False)
    assert [item.task for item in report.unfit] == ["math/1", "math/3"]
    assert (await validate(get("math"), tasks, sandbox, "strict")).ok


@pytest.mark.parametrize("mode", ["mint", "strict"])
@of_the_module
async def test_a_solution_that_fails_its_tests_is_listed_with_the_reason(
    sandbox: Sandbox, mode: Any
) -> None:
    tasks = [program(0, "def f(x): return x + 1"), program(1, "def f(x): return x")]
    report = await validate(get("mbpp"), tasks, sandbox, mode)
    assert [(item.task, item.reason[:14]) for item in report.unfit] == [
        ("mbpp/1", "AssertionError")
    ]


@of_the_module
async def test_tests_that_no_grader_can_run_are_listed_too(sandbox: Sandbox) -> None:
    tests = "class C: pass\nassert f(C()) is None"
    report = await validate(get("mbpp"), [program(0, "def f(x): pass", tests)], sandbox, "strict")
    assert "cannot cross" in report.unfit[0].reason


def test_the_command_says_file_and_id_and_counts(
    local_sandbox: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    row: dict[str, Any] = {"prompt": "f", "reference": "assert f(1) == 2"}
    row["test_list"] = [row["reference"]]
    codes = {3: "def f(x): return x + 1", 7: "def f(x): return x"}
    lines = [json.dumps({**row, "id": number, "code": code}) for number, code in codes.items()]
    (tmp_path / "mbpp.jsonl").write_text("\n".join(lines))
    out = tmp_path / "out.jsonl"
    assert main(["validate", "task=mbpp", f"data={tmp_path}", f"out={out}", "attacks=[]"]) == 1
    said = capsys.readouterr()
    assert f"fails: {tmp_path}/mbpp.jsonl: mbpp/7: " in said.out
    assert "mbpp/3" not in said.out
    assert said.err == "1 references fail their own grader.\n"
    assert [json.loads(line)["task"] for line in out.read_text().splitlines()] == ["mbpp/7"]


def test_the_command_says_why_answers_are_unknown_and_of_how_many_tasks(
    local_sandbox: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cases = json.dumps({"inputs": ["1"], "outputs": ["1"]})
    row: dict[str, Any] = {"prompt": "Do it.", "reference": cases}
    given = {1: "", 2: "[]", 3: "", 4: json.dumps(["print(input())"])}
    lines = [json.dumps({**row, "problem_id": n, "solutions": s}) for n, s in given.items()]
    (tmp_path / "apps.jsonl").write_text("\n".join(lines))
    out = tmp_path / "out.jsonl"
    assert main(["validate", "task=apps", f"data={tmp_path}", f"out={out}", "attacks=[]"]) == 0
    told = [line for line in capsys.readouterr().out.splitlines() if line.startswith("no answer")]
    assert [line.partition(": ")[2].split(": ")[1][:32] for line in told] == [
        "2 × field 'solutions' is empty",
        "1 × field 'solutions' is a list ",
    ]
    assert told[0].endswith("(apps/1, apps/3)")
    listed = [json.loads(line) for line in out.read_text().splitlines()]
    assert [one["task"] for one in listed] == ["apps/1", "apps/2", "apps/3"]
    assert all(one["why"] for one in listed)
