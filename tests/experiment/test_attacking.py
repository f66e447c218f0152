"""Answers that solve nothing pass no strict grader; those that pass any grader are told of."""

import json
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from codeact.cli import main
from codeact.datasets import Family, get, load_tasks
from codeact.datasets.families import names
from codeact.episode.effects import Verdict
from codeact.episode.task import Task, ToolSpec
from codeact.exceptions import GraderFailure
from codeact.experiment.attacking import AttackReport, Passed, attack
from codeact.graders.attacks import ATTACKS
from codeact.graders.base import Mode
from codeact.results.attacks import write_attacks
from codeact.sample import tasks_path
from codeact.sandboxes.base import Sandbox
from codeact.tools import ToolBox
from tests.helpers.sandboxes import started

pytest_plugins = ["tests.helpers.plugin_packages"]

PROGRAMS = ("humaneval", "mbpp")
SHIPPED = [name for name in names() if tasks_path(name).exists()]
NO_TOOLS = ToolBox({})

of_the_module = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sandbox() -> AsyncIterator[Sandbox]:
    sandbox = await started("local", preload=())
    yield sandbox
    await sandbox.close()


def family_with(grader: Any, **fields: Any) -> Family:
    graders: dict[Mode, Any] = {"strict": grader, "mint": grader}
    return Family(name="mine", task_type="reasoning", graders=graders, **fields)


def task_of(family: Family, prompt: str = "Say it.", reference: str = "ostrich") -> Task:
    return family.task({"id": 1, "prompt": prompt, "reference": reference})


@pytest.mark.parametrize("name", SHIPPED)
@of_the_module
async def test_nothing_passes_a_strict_grader(sandbox: Sandbox, name: str) -> None:
    tasks = load_tasks(get(name), tasks_path(name))[: 1 if name in PROGRAMS else 3]
    report = await attack(get(name), tasks, sandbox, "strict", NO_TOOLS)
    assert (report.forged, report.unjudged) == ([], [])


@pytest.mark.parametrize(
    ("name", "passing"),
    [("mbpp", {"hostile equality", "reading"}), ("strategyqa", {"every option"})],
)
@of_the_module
async def test_what_the_published_rules_let_pass_is_counted(
    sandbox: Sandbox, name: str, passing: set[str]
) -> None:
    """The same forms that fail strictly read and fake tests that share their process."""
    tasks = load_tasks(get(name), tasks_path(name))[:1]
    report = await attack(get(name), tasks, sandbox, "mint", NO_TOOLS)
    assert passing <= {one.name for one in ATTACKS if report.count(one.name) == 1}
    assert report.attacked == 1


@of_the_module
async def test_the_right_answer_is_no_forgery(sandbox: Sandbox) -> None:
    rows = [{"id": ref, "prompt": "How many?", "reference": ref} for ref in ("42", "42.0", "41")]
    tasks = [get("math").task(row) for row in rows]
    report = await attack(get("math"), tasks, sandbox, "strict", NO_TOOLS)
    assert [one.task for one in report.right] == ["math/42", "math/42.0"]
    assert report.attacked == 0


@of_the_module
async def test_a_grader_that_gives_up_is_told_of(sandbox: Sandbox) -> None:
    async def gives_up(_task: Task, answer: str, _sandbox: Sandbox) -> Verdict:
        if answer == "exit(0)":
            raise GraderFailure("it left")
        return Verdict(False)

    family = family_with(gives_up)
    report = await attack(family, [task_of(family)], sandbox, "strict", NO_TOOLS)
    assert [(one.attack, one.detail) for one in report.unjudged] == [("exit(0)", "it left")]
    assert report.attacked == 0


class _Door:
    """A world that one cell of an attacker solves: whatever calls its tool."""

    specs = (ToolSpec(name="knock", signature="knock()", description="Knocks."),)

    def __init__(self) -> None:
        self.solved = False
        self.calls = {"knock": self._knock}

    async def _knock(self) -> str:
        self.solved = True
        return "Come in."

    def open(self, _task: Task) -> "_Door":
        return self

    async def ready(self) -> None: ...

    def close(self) -> None: ...


@of_the_module
async def test_worlds_are_attacked_by_cells(sandbox: Sandbox) -> None:
    async def never(*_: Any) -> Verdict:
        return Verdict(False)

    family = family_with(never, solved_by_tools=True, tools=("knock",))
    for prompt, passing in (("knock()", ["echo"]), ("Knock!", [])):
        tools = ToolBox({}, worlds=(_Door(),))  # type: ignore[arg-type]
        task = task_of(family, prompt)
        report = await attack(family, [task], sandbox, "strict", tools)
        assert [one.attack for one in report.forged] == passing


NAIVE = """
from codeact.datasets import Family
from codeact.episode.effects import Verdict
async def grade(task, answer, sandbox):
    return Verdict(task.reference in answer)
PART = Family(name="naive", task_type="reasoning", graders={"strict": grade, "mint": grade})
"""


def test_the_command_attacks_a_plug_in_and_writes_its_table(
    local_sandbox: None,
    install: Callable[..., None],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    install("codeact.families", NAIVE, "naive")
    row = {"id": 1, "prompt": "Ostrich or emu?", "reference": "emu"}
    (tmp_path / "naive.jsonl").write_text(json.dumps(row))
    (tmp_path / "task").mkdir()
    (tmp_path / "task" / "naive.yaml").write_text(
        f"sets: {{naive: {{family: naive, path: {tmp_path}/naive.jsonl, limit: null, ids: null}}}}"
    )
    out = tmp_path / "found" / "attacks.json"
    words = ["validate", "--config-dir", str(tmp_path), "task=naive", f"attacks_out={out}"]
    assert main([*words, "attacks=[strict,mint,strict]"]) == 1
    said = capsys.readouterr()
    assert re.search(r"naive +│ strict +│ +1 │ +100.0 │ +0 │ +100.0 │", said.out)
    assert f"passes: {tmp_path}/naive.jsonl: naive/1: echo: 'Ostrich or emu?'" in said.out
    assert f"the published rules let pass: {tmp_path}/naive.jsonl: 1 of 1 tasks" in said.out
    assert said.err == "1 attacks pass a strict grader.\n"
    rows = json.loads(out.read_bytes())
    assert [(one["mode"], one["any"], one["share"]["echo"]) for one in rows] == [
        ("strict", 1.0, 1.0), ("mint", 1.0, 1.0),
    ]  # fmt: skip
    assert rows[0]["passed"][0]["answer"] == "Ostrich or emu?"


def test_a_data_set_of_which_a_limit_leaves_nothing_has_a_row(tmp_path: Path) -> None:
    path = tmp_path / "attacks.json"
    write_attacks({"none": [AttackReport("mine", "strict", 0, (), 0.0)]}, path)
    assert json.loads(path.read_bytes())[0]["any"] == 0.0


def test_shares_count_a_task_once_however_many_forms_pass() -> None:
    forms = [Passed("t/1", "mint", "echo", answer, "") for answer in ("a", "b")]
    report = AttackReport("mine", "mint", 4, (*forms, Passed("t/2", "mint", "42", "42", "")), 0.0)
    assert (report.count("echo"), report.count("42"), report.attacked) == (1, 1, 2)
