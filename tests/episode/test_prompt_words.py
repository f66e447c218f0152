"""The first messages of every format for every type of task, to the letter.

A change of words is a change of every experiment, so it has to be seen. After one that is meant,
write the files anew: ``python -m tests.episode.test_prompt_words``.
"""

import json
from pathlib import Path

import pytest

from codeact.datasets import get, load_tasks
from codeact.episode.settings import TurnSettings
from codeact.episode.task import Task
from codeact.experiment.toolboxes import tools_of
from codeact.tools.alfworld.functions import SPECS
from codeact.tools.settings import SPEC
from tests.helpers.formats import FORMATS, format_of

SHOWN = tuple(name for name in FORMATS if name != "code_verbatim")
FOLDER = Path(__file__).parents[1] / "data" / "prompts"
FIVE = TurnSettings(max_steps=5, max_propose_solution=2)
TOOLBENCH = get("toolbench")
TRADE = next(
    task for task in load_tasks(TOOLBENCH, "seed://0") if task.metadata["domain"] == "trade"
)
TOOLS = {
    "decision_making": SPECS,
    "reasoning_with_search": (SPEC,),
    "toolbench": tuple(tools_of(["toolbench"])[name] for name in TRADE.tools),
}
KINDS = (
    "reasoning",
    "reasoning_with_search",
    "code_generation",
    "tabular",
    "decision_making",
    "toolbench",
)


def shown(name: str, kind: str) -> str:
    """The opening and what the first request carries, as a person reads it."""
    tools = TOOLS.get(kind, ())
    task = Task(name="t", id="0", prompt="(the task)", reference="", metadata={"task_type": "put"})
    task_type = kind.removesuffix("_with_search")
    if kind == TOOLBENCH.name:
        task, task_type = TRADE, TOOLBENCH.task_type
    found = format_of(name)
    turns = FIVE
    if name == "direct":
        turns = TurnSettings(max_steps=1, max_propose_solution=1, use_tools=False)
    parts = []
    for message in found.opening(task, task_type, turns, tools):
        calls = [f"call {one['name']} {one['arguments']}" for one in message.get("tool_calls", ())]
        parts.append("\n".join([f"[{message['role']}]", message["content"], *calls]))
    options = found.options(turns, tools, plain=False)
    parts += [f"[function] {tool.name}: {tool.description}" for tool in options.tools]
    parts += [json.dumps(tool.parameters) for tool in options.tools]
    if options.response_format is not None:
        parts.append(f"[form] {json.dumps(options.response_format)}")
    return "\n".join(parts) + "\n"


def of_format(name: str) -> str:
    kinds = [kind for kind in KINDS if name != "direct" or kind != "decision_making"]
    return "\n".join(f"======== {kind}\n{shown(name, kind)}" for kind in kinds)


@pytest.mark.parametrize("name", SHOWN)
def test_the_words_are_as_they_were(name: str) -> None:
    assert of_format(name) == (FOLDER / f"{name}.txt").read_text(encoding="utf-8")


def test_there_is_a_file_for_each_format_and_none_besides() -> None:
    assert sorted(file.stem for file in FOLDER.iterdir()) == sorted(SHOWN)


def test_code_verbatim_has_the_words_of_code() -> None:
    assert of_format("code_verbatim") == of_format("code")


if __name__ == "__main__":
    for one in SHOWN:
        (FOLDER / f"{one}.txt").write_text(of_format(one), encoding="utf-8")
