"""``prompt=recorded``: first messages out of a user's own recordings."""

import json
from pathlib import Path

import pytest

from codeact.cli import main
from codeact.commands.arguments import configurations, parse
from codeact.episode.prompts.recorded import RecordedStrategy, preamble_of
from codeact.episode.settings import TurnSettings
from codeact.episode.task import Task
from codeact.exceptions import ConfigError, RecordingError
from codeact.experiment.config.schema import RunConfig
from codeact.experiment.plan import Plan, make_plan
from codeact.experiment.recorded_prompts import Wanted, read_strategy
from codeact.recordings.episodes import RecordedEpisode, read_recordings
from codeact.recordings.run_folder import latest_records
from codeact.resources import resolve_path

SHARED = Path(__file__).parents[3] / "shared" / "data"
CLAUDE = SHARED / "transcripts" / "claude-2"
EDITED = {("theoremqa", "50"), ("theoremqa", "51"), ("theoremqa", "52")}
"""Tasks whose text was edited between some recordings and the task files."""
FIVE = TurnSettings(max_steps=5, max_propose_solution=2)
LIGHT = ["executor.preload=[]", "executor.warm=1", "model.texts=[no action]", "turns=max5_p2"]
SAMPLE = ["task=gsm8k", "data=pkg://codeact.sample/tasks", "limit=2", "tracker=none"]

needs_shared = pytest.mark.skipif(
    not SHARED.is_dir(), reason="the recorded episodes of ../shared are not here"
)


def write(
    root: Path,
    preamble: str = "Be brief.\n\n---\n\nTask:\nan example\n",
    *,
    turns: str = "max5_p2+tool+cd",
    name: str = "gsm8k",
    ids: tuple[str, ...] = ("1",),
    model: str = "m",
    feedback: bool = False,
) -> Path:
    """A published file; returns the root of its tree."""
    kind = "F=critic/PHF=no_GT-textual" if feedback else "F=None"
    folder = root / model / kind / turns / "reasoning" / name
    folder.mkdir(parents=True)
    lines = [
        {
            "state": {
                "history": [
                    {"role": "user", "content": f"{preamble}\n\n---\n\nTask:\nAdd {one}.\n"},
                    {"role": "assistant", "content": "Assistant:\n<solution> 2 </solution>\n"},
                ],
                "success": True,
                "agent_action_count": {"propose_solution": 1, "use_tool": 0, "invalid_action": 0},
                "terminate_reason": "task_success",
            },
            "task": {
                "task_name": "reasoning",
                "task_id": one,
                "prompt": f"Add {one}.",
                "reference": "2",
                "metadata": {"task_type": f"kind{one}"},
            },
        }
        for one in ids
    ]
    (folder / "results.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return root


def plan(*words: str) -> Plan:
    given = ["model=scripted", "prompt=recorded", *words]
    ((_, config),) = configurations("run", parse("run", given, sweeps=True), RunConfig)
    return make_plan(config)


def first(made: Plan, number: int = 0) -> str:
    one = made.assignments[number]
    return made.strategy.first_message(one.task, one.family.task_type, FIVE, ())


def task(own: str, kind: str = "", name: str = "gsm8k") -> Task:
    return Task(name=name, id=own, prompt="P", reference="", metadata={"task_type": kind})


def read(source: Path, *tasks: Task, feedback: bool = False) -> RecordedStrategy:
    sets = {one.name: "gsm8k" for one in tasks}
    return read_strategy(str(source), Wanted(sets, FIVE.name, feedback), tasks)


# The published prompts


@pytest.fixture(scope="module")
def recorded() -> list[RecordedEpisode]:
    """One model's runs: every set with every turn setting, and with feedback."""
    return list(read_recordings(CLAUDE))


@needs_shared
@pytest.mark.parametrize(
    ("turns", "feedback"),
    [
        *((turns, False) for turns in ("max1_p1", "max2_p2", "max3_p2", "max4_p2", "max5_p2")),
        ("max5_p2", True),
    ],
)
def test_first_prompts_equal_the_recorded_ones(
    turns: str, feedback: bool, recorded: list[RecordedEpisode]
) -> None:
    critic = ["feedback=binary", "model@feedback.model=scripted"] if feedback else []
    folder = "F=gpt-4-0613" if feedback else f"F=None/{turns}+tool+cd"
    source = f"prompt.source={CLAUDE / folder}"
    made = plan("task=mint", f"data={SHARED}/mint_tasks", source, f"turns={turns}", *critic)
    live = {(one.task.name, one.task.id): first(made, n) for n, one in enumerate(made.assignments)}
    then = {
        (one.task_name, one.task_id): one.first_message
        for one in recorded
        if one.turn_setting == f"{turns}+tool+cd" and bool(one.feedback_model) is feedback
    }
    assert live.keys() <= then.keys()
    assert len(live) == 452
    assert {key for key, text in live.items() if text != then[key]} <= EDITED


@needs_shared
def test_each_kind_of_household_has_its_own_example(recorded: list[RecordedEpisode]) -> None:
    """By the recorded task itself, and by the kind of a task that was not recorded."""
    households = [
        one
        for one in recorded
        if one.task_name == "alfworld" and one.turn_setting == FIVE.name and not one.feedback_model
    ]
    tasks = [
        Task(
            name="alfworld",
            id=own,
            prompt=one.prompt,
            reference="",
            metadata={"task_type": one.metadata["task_type"]},
        )
        for one in households
        for own in (one.task_id, f"not {one.task_id}")
    ]
    wanted = Wanted({"alfworld": "alfworld"}, FIVE.name, feedback=False)
    made = read_strategy(str(CLAUDE / "F=None/max5_p2+tool+cd"), wanted, tasks)
    assert len(made.preambles["alfworld"].texts) == 6
    texts = [made.first_message(one, "decision_making", FIVE, ()) for one in tasks]
    assert texts[::2] == texts[1::2] == [one.first_message for one in households]


# A live run with them


@pytest.mark.usefixtures("local_sandbox")
def test_a_live_run_sends_the_recorded_prompt_and_is_resumed_with_it_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write(tmp_path / "a")
    run = [
        "run",
        *SAMPLE,
        "model=scripted",
        *LIGHT,
        "prompt=recorded",
        f"run_dir={tmp_path / 'run'}",
    ]
    assert main([*run, f"prompt.source={source}"]) == 0
    sent = [record.messages[0]["content"] for record in latest_records(tmp_path / "run")]
    assert len(sent) == 2
    assert all(text.startswith("Be brief.\n\n---\n\nTask:\nan example\n\n\n---") for text in sent)
    moved = write(tmp_path / "moved", model="another", ids=("7", "8"))
    assert main([*run, f"prompt.source={moved}", "limit=3"]) == 0
    assert len(latest_records(tmp_path / "run")) == 3
    other = write(tmp_path / "other", "Be long.\n\n---\n\nTask:\nan example\n")
    capsys.readouterr()
    assert main([*run, f"prompt.source={other}"]) == 1
    assert "prompt.recorded.gsm8k: " in capsys.readouterr().err


def test_a_run_of_ours_is_a_source_too() -> None:
    source = "pkg://codeact.sample/recordings"
    made = plan(*SAMPLE, f"prompt.source={source}")
    (one,) = {
        one.first_message
        for one in read_recordings(resolve_path(source))
        if (one.task_name, one.task_id) == ("gsm8k", made.assignments[0].task.id)
    }
    assert first(made) == one


# Which prompt belongs to a task


def test_a_set_of_another_name_takes_the_prompt_of_its_family(tmp_path: Path) -> None:
    source = write(tmp_path)
    made = read(source, task("9", name="my_sums"))
    assert made.first_message(task("9", name="my_sums"), "reasoning", FIVE, ()).endswith(
        "Task:\nP\n"
    )
    write(tmp_path, "Of my sums.\n\n---\n\nTask:\nx", name="my_sums")
    own = read(source, task("9", name="my_sums"))
    assert own.first_message(task("9", name="my_sums"), "", FIVE, ()).startswith("Of my sums.")


def test_several_prompts_are_told_apart_by_task_and_kind_or_refused(tmp_path: Path) -> None:
    one = "One.\n\n---\n\nTask:\nx"
    two = "Two.\n\n---\n\nTask:\nx"
    source = write(write(tmp_path, one, model="a"), two, model="b", ids=("2",))
    made = read(source, task("1"), task("2"), task("9", "kind2"))
    firsts = [made.first_message(t, "", FIVE, ())[:4] for t in (task("1"), task("9", "kind2"))]
    assert firsts == ["One.", "Two."]
    with pytest.raises(ConfigError, match=r"2 different prompts of gsm8k.*gsm8k/9"):
        read(source, task("9", "kind3"))
    write(tmp_path, two, model="c")
    with pytest.raises(ConfigError, match=r"a narrower source"):
        read(source, task("1", "kind1"))


def test_a_set_without_a_prompt_is_refused_before_anything_is_spent(tmp_path: Path) -> None:
    source = write(tmp_path, turns="max3_p2+tool+cd")
    with pytest.raises(ConfigError, match=r"no prompt of gsm8k for max5_p2.*but for max3_p2"):
        plan(*SAMPLE, f"prompt.source={source}")
    with pytest.raises(ConfigError, match=r"with feedback, but for max3_p2\+tool\+cd without"):
        read(source, task("1"), feedback=True)
    with pytest.raises(ConfigError, match=r"no prompt of humaneval .* nor for any other"):
        plan("task=humaneval", "data=pkg://codeact.sample/tasks", f"prompt.source={source}")


def test_what_is_no_prompt_is_refused_by_its_place(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match=r"prompt\.source: .*results\.jsonl.*set apart"):
        read(write(tmp_path, "No example."), task("1"))
    with pytest.raises(RecordingError, match=r"prompt\.source: .*nowhere"):
        read(tmp_path / "nowhere", task("1"))
    with pytest.raises(ConfigError, match="go together"):
        plan(*SAMPLE, "prompt.strategy=code", "prompt.source=x")


def test_three_dashes_in_a_task_do_not_shorten_its_prompt() -> None:
    prompt = "a\n\n---\n\nTask:\nb"
    before = "Head.\n\n---\n\nTask:\nexample"
    assert preamble_of(f"{before}\n\n---\n\nTask:\n{prompt}\n", prompt) == before
