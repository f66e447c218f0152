"""Toolbench played for real: every format solves it, and no episode sees another one's state."""

import asyncio
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeVar

import msgspec
import pytest

from codeact.datasets import get, load_tasks
from codeact.datasets.family import Walkthrough
from codeact.datasets.toolbench.makers.base import CALLS
from codeact.datasets.toolbench.making import MAKERS, example_row
from codeact.episode.effects import Completion
from codeact.episode.prompts import ActionFormat
from codeact.episode.settings import EpisodeSettings, TurnSettings
from codeact.episode.task import Task, ToolSpec
from codeact.exceptions import ConfigError, ToolFailure
from codeact.experiment.driver import Assignment, play_episode
from codeact.experiment.strategies import strategy
from codeact.experiment.toolboxes import tools_of
from codeact.experiment.walkthroughs import Walked, script_of, walk
from codeact.models.base import Request
from codeact.models.scripted import ScriptedModel
from codeact.sandboxes.base import Sandbox
from codeact.tools import Tool, ToolBox, open_toolbox
from codeact.tools.settings import NoSearch, PageSearch
from tests.helpers.format_runs import environment
from tests.helpers.formats import BY_CODE, Call, Run, Say, format_of, written
from tests.helpers.sandboxes import started

pytestmark = pytest.mark.usefixtures("local_sandbox")

FAMILY = get("toolbench")
TASKS = load_tasks(FAMILY, "seed://0")
TOOLS = ToolBox({}, in_session=tools_of(["toolbench"]))
AT_ONCE = 200
Result = TypeVar("Result")
PAGES = PageSearch(path="pkg://codeact.sample/encyclopaedia.jsonl")


class Place(NamedTuple):
    """A sandbox, and the loop that it lives in."""

    loop: asyncio.AbstractEventLoop
    sandbox: Sandbox

    def walked(
        self, tasks: Sequence[Task], prompts: Sequence[str], family: Any = FAMILY
    ) -> list[Walked]:
        return self.run(
            walk(family, tasks, prompts, sandbox=self.sandbox, mode="strict", tools=TOOLS)
        )

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        return self.loop.run_until_complete(asyncio.wait_for(work, 120))


@contextmanager
def placed(**settings: Any) -> Iterator[Place]:
    with asyncio.Runner() as runner:
        sandbox = runner.run(started("local", preload=(), **settings))
        yield Place(runner.get_loop(), sandbox)
        runner.run(sandbox.close())


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    with placed(cell_seconds=30.0) as found:
        yield found


def test_every_template_is_solved_by_code_and_by_calls(place: Place) -> None:
    """The first 48 tasks are one of each template; `codeact validate` plays all 120."""
    found = place.walked(TASKS[:48], ["code", "json"])
    assert [(one.prompt, one.tasks, one.stuck) for one in found] == [
        ("code", 48, ()),
        ("json", 48, ()),
    ]


def test_every_other_format_solves_every_difficulty(place: Place) -> None:
    others = ["code_fenced", "code_tool", "json_code", "text", "tool_calls"]
    chosen = TASKS[48:72:5]
    found = place.walked(chosen, others)
    assert [(one.prompt, one.stuck) for one in found] == [(name, ()) for name in others]
    assert {task.metadata["difficulty"] for task in chosen} == set(CALLS)


def with_walkthrough(task: Task, **changes: Any) -> Any:
    """The family, with another walkthrough for the task."""
    assert FAMILY.walkthrough is not None
    other = FAMILY.walkthrough(task)._replace(**changes)
    return task, _Other(other)


class _Other:
    """The family with one walkthrough for all tasks."""

    def __init__(self, walkthrough: Walkthrough) -> None:
        self.walkthrough = lambda _task: walkthrough

    def __getattr__(self, name: str) -> Any:
        return getattr(FAMILY, name)


def test_a_walkthrough_that_goes_wrong_is_told_with_its_turn(place: Place) -> None:
    task = next(one for one in TASKS if one.metadata["domain"] == "shop")
    reasons = {
        "program": with_walkthrough(task, program="print(1)"),
        "raises": with_walkthrough(task, program="get_order('O0')"),
        "call": with_walkthrough(task, calls=(("get_order", {"order_id": "O0"}),)),
        "unknown": with_walkthrough(task, calls=(("get_account", {}),)),
        "answer": with_walkthrough(task, answer="7"),
    }
    told = {}
    for name, (one, family) in reasons.items():
        prompt = "code" if name in ("program", "raises") else "tool_calls"
        ((stuck,),) = (found.stuck for found in place.walked([one], [prompt], family))
        told[name] = stuck.reason
    assert told["program"] == "the answer '1' is judged wrong: read as 1"
    assert "turn 1 (execute) went wrong" in told["raises"]
    assert "ValueError: there is no order 'O0'" in told["raises"]
    assert told["call"].startswith("turn 1 (execute) went wrong: ValueError: there is no order")
    assert "there is no tool 'get_account'" in told["unknown"]
    assert told["answer"] == "the answer '7' is judged wrong: read as 7"


def test_an_error_of_a_tool_shows_none_of_the_tools_code(place: Place) -> None:
    task = next(one for one in TASKS if one.metadata["domain"] == "shop")
    one, family = with_walkthrough(task, program="key = 'O0'\nget_order(key)")
    ((stuck,),) = (found.stuck for found in place.walked([one], ["code"], family))
    assert "----> 2 get_order(key)" in stuck.reason
    assert "ValueError: there is no order 'O0'" in stuck.reason
    assert "<tools>" not in stuck.reason


def test_only_formats_that_act_have_walkthroughs(place: Place) -> None:
    with pytest.raises(ConfigError, match="prompt=direct"):
        place.walked(TASKS[:1], ["direct"])
    with pytest.raises(ConfigError, match="did you mean 'json'"):
        place.walked(TASKS[:1], ["jsn"])
    assert place.walked([], ["json"], get("gsm8k")) == []


def test_a_worked_example_shows_what_happens(place: Place) -> None:
    """Each domain's example, played on its own data, gives the observations that it shows."""
    for domain in MAKERS:
        task = FAMILY.task(example_row(domain))
        example = task.metadata["example"]
        assert example["task"] == task.prompt
        code = place.run(played(task, "code", place.sandbox))
        assert code[0].strip() == example["by_code"][0]["observation"]
        calls = place.run(played(task, "json", place.sandbox))
        assert calls[:-1] == [step["observation"] for step in example["by_tools"][:-1]]


async def played(task: Task, name: str, sandbox: Sandbox) -> list[str]:
    """Play a task's walkthrough; return what was observed."""
    assert FAMILY.walkthrough is not None
    format_ = format_of(name)
    policy = ScriptedModel(script_of(format_, FAMILY.walkthrough(task)))
    record = await play_episode(one(task), without_count_down(format_, policy, sandbox, TOOLS))
    assert record.outcome.success
    return [turn.observation for turn in record.turns]


def one(task: Task) -> Assignment:
    return Assignment(task, FAMILY, FAMILY.grader("strict"), 0)


def without_count_down(format_: ActionFormat, policy: Any, sandbox: Sandbox, tools: ToolBox) -> Any:
    turns = TurnSettings(max_steps=40, max_propose_solution=1, count_down=False)
    found = environment(format_, policy, sandbox, tools)
    return found._replace(settings=EpisodeSettings(turns=turns))


# -- many at once


class Meeting(ScriptedModel):
    """Plays a walkthrough, and after the first act waits for all others to be there as well."""

    arrived = 0
    all_there: asyncio.Event

    async def complete(self, request: Request) -> Completion:
        if request.turn == 1:
            Meeting.arrived += 1
            if Meeting.arrived == AT_ONCE:
                self.all_there.set()
            await self.all_there.wait()
        return await super().complete(request)


def test_two_hundred_episodes_at_once_keep_their_states_apart() -> None:
    """All are in the middle of a change of the same store at once, each of a change of its own."""
    assert FAMILY.walkthrough is not None
    states = [task for seed in range(4) for task in load_tasks(FAMILY, f"seed://{seed}")
              if task.metadata["kind"] == "code"]  # fmt: skip
    chosen = (states * 3)[:AT_ONCE]
    format_ = format_of("json")
    scripts = [script_of(format_, FAMILY.walkthrough(task)) for task in chosen]

    async def play(sandbox: Sandbox) -> list[bool]:
        Meeting.arrived, Meeting.all_there = 0, asyncio.Event()
        records = await asyncio.gather(
            *(
                play_episode(one(t), without_count_down(format_, Meeting(script), sandbox, TOOLS))
                for t, script in zip(chosen, scripts, strict=True)
            )
        )
        return [record.outcome.success for record in records]

    with placed(slots=AT_ONCE, processes=4, memory_mb=64, cell_seconds=60.0) as many:
        assert many.run(play(many.sandbox)) == [True] * AT_ONCE
    assert Meeting.arrived == AT_ONCE


# -- tools that misbehave

SETUP = """
def make():
    calls = []
    def hang():
        import time
        while True:
            time.sleep(0.1)
    def cling():
        import time
        while True:
            try:
                time.sleep(0.1)
            except BaseException:
                pass
    def fail():
        raise RuntimeError("the tool is broken")
    def flood():
        return "x" * 10_000_000
    def count():
        calls.append(1)
        return len(calls)
    return {"hang": hang, "cling": cling, "fail": fail, "flood": flood, "count": count}
globals().update(make())
del make
"""
IN_SESSION = {
    name: ToolSpec(name, f"{name}()", "Does something.")
    for name in ("hang", "cling", "fail", "flood", "count")
}
BAD = Task(name="bad", id="t", prompt="Say 7.", reference="7", setup=SETUP, tools=tuple(IN_SESSION))
HOSTED = msgspec.structs.replace(BAD, setup="")


async def hang() -> None:
    await asyncio.Event().wait()


async def fail() -> None:
    raise RuntimeError("the tool is broken")


async def flood() -> str:
    return "x" * 10_000_000


async def count() -> int:
    return 1


ON_HOST = ToolBox(
    {
        function.__name__: Tool(IN_SESSION[function.__name__], function)
        for function in (hang, fail, flood, count)
    }
)
LOOP = """
results = []
for _ in range(10_000):
    try:
        results.append(count())
    except Exception:
        pass
print(len(results))
"""


@pytest.fixture(scope="module")
def hurried() -> Iterator[Place]:
    with placed(grace_seconds=0.5, tool_seconds=0.4) as found:
        yield found


async def abused(
    task: Task, tools: ToolBox, acts: Sequence[tuple[str, Call | Run]], sandbox: Sandbox
) -> list[str]:
    """Play episodes that do a thing, then count, then answer; what came of the thing, in each."""
    family = get("gsm8k")

    async def episode(name: str, act: Call | Run) -> str:
        again = Run("print(count())") if name in BY_CODE else Call("count", {})
        texts = [written(name, step) for step in (act, again, Say("7"))]
        record = await play_episode(
            Assignment(task, family, family.grader("strict"), 0),
            environment(strategy(name), ScriptedModel(texts), sandbox, tools),
        )
        assert record.outcome.success, record.outcome
        assert record.turns[1].observation.strip().isdecimal(), record.turns[1]
        return record.turns[0].observation

    return list(await asyncio.gather(*(episode(name, act) for name, act in acts)))


def both(tool: str) -> list[tuple[str, Call | Run]]:
    return [("json", Call(tool, {})), ("tool_calls", Call(tool, {})), ("code", Run(f"{tool}()"))]


def test_a_session_tool_that_misbehaves_is_an_observation(hurried: Place) -> None:
    """The episode goes on after each of them, with the tools of a fresh interpreter at worst."""
    tools = ToolBox({}, in_session=IN_SESSION)
    acts = [act for tool in ("hang", "cling", "fail", "flood") for act in both(tool)]
    seen = hurried.run(abused(BAD, tools, [*acts, ("code", Run(LOOP))], hurried.sandbox))
    assert all("TimeoutError" in text for text in seen[:6]), seen[:6]
    assert all("interpreter was stopped" in text for text in seen[3:6]), seen[3:6]
    assert all("RuntimeError: the tool is broken" in text for text in seen[6:9]), seen[6:9]
    assert all(len(text) < 4000 and "xxxx" in text for text in seen[9:12])
    assert seen[12].strip() == "10000"


def test_a_host_tool_that_misbehaves_is_an_observation(hurried: Place) -> None:
    acts = [act for tool in ("hang", "fail", "flood") for act in both(tool)]
    seen = hurried.run(abused(HOSTED, ON_HOST, [*acts, ("code", Run(LOOP))], hurried.sandbox))
    assert all("hang took longer than 0.4 seconds" in text for text in seen[:3]), seen[:3]
    assert all("the tool is broken" in text for text in seen[3:6]), seen[3:6]
    assert all("over the limit" in text for text in seen[6:9]), seen[6:9]
    assert "TimeoutError" in seen[9] or "interpreter was stopped" in seen[9], seen[9]


def test_a_service_that_is_gone_has_the_cause_tool(hurried: Place) -> None:
    async def gone() -> None:
        raise ToolFailure("the service is down")

    family, tools = get("gsm8k"), ToolBox({"gone": Tool(ToolSpec("gone", "gone()", "Asks."), gone)})
    task = Task(name="bad", id="t", prompt="Say 7.", reference="7", tools=("gone",))
    policy = ScriptedModel([written("text", Call("gone", {})), written("text", Say("7"))])
    env = environment(strategy("text"), policy, hurried.sandbox, tools)
    outcome = hurried.run(
        play_episode(Assignment(task, family, family.grader("strict"), 0), env)
    ).outcome
    assert (outcome.cause, outcome.success) == ("tool", False)
    assert "the service is down" in str(outcome.error)


def test_a_name_for_two_tools_is_refused() -> None:
    spec = IN_SESSION["count"]
    with pytest.raises(ConfigError, match="two tools are called 'wikipedia_search'"):
        open_toolbox(PAGES, in_session={"wikipedia_search": spec})
    assert open_toolbox(NoSearch(), in_session={"count": spec}).specs(BAD) == (spec,)
