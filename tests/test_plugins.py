"""Plug-ins of all six groups, installed as packages are: what works, and what is refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from codeact import datasets as families
from codeact.cli import main
from codeact.datasets import preparing
from codeact.episode.task import Task
from codeact.exceptions import ConfigError
from codeact.experiment.config.trackers import TRACKERS
from codeact.experiment.strategies import strategy
from codeact.models.registry import model_kinds, settings_type
from codeact.tools import open_toolbox
from codeact.tools.settings import NoSearch, PageSearch

pytest_plugins = ["tests.helpers.plugin_packages"]

TASK = Task(name="t", id="0", prompt="p", reference="r", tools=("wikipedia_search",))
PAGES = "pkg://codeact.sample/encyclopaedia.jsonl"
SAMPLE_TASKS = "pkg://codeact.sample/tasks"
TOOL = """
from codeact.tools import Tool
from codeact.episode.task import ToolSpec
async def call(query):
    return "mine"
PART = Tool(ToolSpec("wikipedia_search", "wikipedia_search(query)", "Mine."), call)
"""


class Group(NamedTuple):
    """An entry point group, how its parts are found, and a module that gives a good one."""

    name: str
    get: Callable[[str], Any]
    good: str
    wanted: str


def needing(tool: str) -> object:
    """The tools of a run whose tasks need one."""
    tools = open_toolbox(NoSearch())
    tools.require([tool])
    return tools


GROUPS = [
    Group(
        "codeact.families",
        families.get,
        "from codeact.datasets.gsm8k.task import FAMILY as PART",
        "Family",
    ),
    Group(
        "codeact.preparers",
        preparing.get,
        "from codeact.datasets.gsm8k.prepare import PREPARER as PART",
        "Preparer",
    ),
    Group(
        "codeact.models",
        settings_type,
        "from codeact.models.scripted import ScriptedSettings as PART",
        "ModelSettings",
    ),
    Group(
        "codeact.prompts",
        strategy,
        "from codeact.episode.prompts import CodeStrategy as PART",
        "PromptStrategy",
    ),
    Group(
        "codeact.trackers",
        TRACKERS.get,
        "from codeact.experiment.config.trackers import TensorboardSettings as PART",
        "TrackerSettings",
    ),
    Group("codeact.tools", needing, TOOL, "Tool"),
]
BY_NAME = GROUPS[:-1]
Install = Callable[..., None]
every_group = pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.name)


@every_group
def test_a_plug_in_is_found(group: Group, install: Install) -> None:
    install(group.name, group.good)
    name = "wikipedia_search" if group.name == "codeact.tools" else "mine"
    assert group.get(name) is not None


@every_group
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("1 / 0", "ZeroDivisionError"),
        ("raise SystemExit('no licence')", "SystemExit: no licence"),
        ("def (", "SyntaxError"),
        ("", "AttributeError"),
        ("PART = 'text'", "names an object of type str"),
        ("class PART: pass", "names the class PART"),
    ],
)
def test_a_broken_plug_in_is_refused_by_name(
    group: Group, content: str, reason: str, install: Install
) -> None:
    install(group.name, content)
    with pytest.raises(ConfigError) as refusal:
        group.get("mine")
    said = str(refusal.value)
    for words in ("'mine' is a plug-in", "package plugin_", ":PART", group.name, group.wanted):
        assert words in said
    assert reason in said


def test_a_strategy_that_cannot_be_made_is_refused(install: Install) -> None:
    install("codeact.prompts", "class PART:\n    def __init__(self, needed): pass")
    with pytest.raises(ConfigError, match=r"cannot be loaded \(TypeError: .*'needed'"):
        strategy("mine")


@pytest.mark.parametrize("group", BY_NAME, ids=lambda group: group.name)
def test_a_name_that_nobody_has_is_refused_with_the_nearest(group: Group, install: Install) -> None:
    install(group.name, group.good, name="unmistakable")
    with pytest.raises(ConfigError, match=r"'unmistakeable' \(did you mean 'unmistakable'\?"):
        group.get("unmistakeable")


def test_ours_come_before_plug_ins(install: Install) -> None:
    install("codeact.models", "1 / 0", name="openai")
    assert settings_type("openai").__name__ == "OpenAISettings"
    assert model_kinds().count("openai") == 1


async def test_a_plug_in_replaces_our_tool(install: Install) -> None:
    install("codeact.tools", TOOL)
    tools = open_toolbox(PageSearch(path=PAGES))
    assert await tools.calls(TASK)["wikipedia_search"]("Kettle Bridge") == "mine"


@pytest.mark.parametrize("spec", ["None", "{'name': 'twice'}"])
def test_a_tool_is_looked_at_inside(install: Install, spec: str) -> None:
    install("codeact.tools", f"from codeact.tools import Tool\nPART = Tool({spec}, print)")
    with pytest.raises(ConfigError, match="names an object of type Tool"):
        needing("mine")


@every_group
def test_a_broken_plug_in_that_nobody_needs_stops_no_run(
    group: Group, install: Install, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    install(group.name, "raise RuntimeError('half installed')")
    words = ["model=scripted", "task=gsm8k", f"data={SAMPLE_TASKS}", "limit=1", "tracker=none"]
    words += ["executor.preload=[]", "executor.warm=1"]
    assert main(["run", *words, f"run_dir={tmp_path / 'run'}"]) == 0
    # A tool of it might have replaced ours: that it does not is worth a word.
    assert ("half installed" in caplog.text) == (group.name == "codeact.tools")
    assert main(["run", *words, "dry_run=true"]) == 0
    assert main(["run", "--help"]) == 0


@pytest.mark.parametrize("name", ["mine", "adder"])
def test_a_task_that_needs_a_broken_tool_is_refused(
    install: Install, name: str, tmp_path: Path, capfd: Any
) -> None:
    """Whether the entry point has the tool's name or another."""
    install("codeact.tools", "raise RuntimeError('half installed')", name=name)
    family = (
        "import dataclasses\n"
        "from codeact.datasets.gsm8k.task import FAMILY\n"
        "PART = dataclasses.replace(FAMILY, name='needy', tools=('adder',))\n"
    )
    install("codeact.families", family, name="needy")
    sets = "+task.sets.needy={path:" + f"'{SAMPLE_TASKS}/gsm8k.jsonl'" + ",family:needy}"
    words = ["model=scripted", "task=gsm8k", f"data={SAMPLE_TASKS}", sets, "tracker=none"]
    assert main(["run", *words, f"run_dir={tmp_path / 'run'}"]) == 1
    said = capfd.readouterr().err
    for part in ("package plugin_", "RuntimeError: half installed", "codeact.tools"):
        assert part in said
    assert "Traceback" not in said
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("group", "words"),
    [
        ("codeact.prompts", ["prompt.strategy=mine"]),
        ("codeact.models", ["model.kind=mine"]),
        ("codeact.families", ["task.sets.gsm8k.family=mine"]),
    ],
)
def test_a_run_ends_with_one_message_before_it_begins(
    group: str, words: list[str], install: Install, tmp_path: Path, capfd: Any
) -> None:
    install(group, "PART = 3")
    folder = f"run_dir={tmp_path / 'run'}"
    assert main(["run", "model=scripted", "model.texts=[a]", "limit=1", folder, *words]) == 1
    said = capfd.readouterr().err
    assert "names an object of type int" in said
    assert "Traceback" not in said
    assert not (tmp_path / "run").exists()
