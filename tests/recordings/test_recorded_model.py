"""Recorded episodes: reading them, and answering from them."""

import collections
import gzip
import json
from pathlib import Path

import msgspec
import pytest

from codeact.episode.effects import Completion, Counts, Outcome, Turn, Usage
from codeact.episode.messages import Message
from codeact.episode.protocol import assistant_content, policy_text
from codeact.episode.record import EpisodeRecord, encode
from codeact.exceptions import ModelFailure, ProviderFailure, RecordingError
from codeact.models.base import EpisodeKey, Request
from codeact.models.recorded import RecordedModel, RecordedSettings
from codeact.recordings.episodes import Selection, read_recordings
from codeact.recordings.exchange import ImportConfig, import_trees
from codeact.recordings.files import recording_files
from codeact.recordings.transcript import EnvironmentMessage, parse_environment

TRANSCRIPTS = Path(__file__).parents[3] / "shared" / "data" / "transcripts"
FIRST = "Be helpful.\n\n---\n\nTask:\nexample\n\n---\n\nTask:\nAdd 1 and 1.\n"
WRONG = (
    "Observation:\nYour answer is wrong.\n"
    "You have 4 steps left and 1 chances to propose solution left.\n"
    "\nExpert feedback:\nLook again.\n"
)


def line(task_id=1, texts=("a", "b"), environment=WRONG, **state) -> dict:
    history = [{"role": "user", "content": FIRST}]
    for text in texts:
        if text is not None:
            history.append({"role": "assistant", "content": f"Assistant:\n{text}\n"})
        history.append({"role": "user", "content": environment})
    if state.get("terminate_reason") != "error":
        history.pop()
    return {
        "state": {
            "history": history,
            "success": True,
            "agent_action_count": {
                "propose_solution": len(texts),
                "use_tool": 0,
                "invalid_action": 0,
            },
            "token_counter": {},
            "terminate_reason": "task_success",
            "error": None,
            **state,
        },
        "task": {
            "task_name": "reasoning",
            "task_id": task_id,
            "prompt": "Add 1 and 1.",
            "reference": "2",
            "metadata": {},
        },
    }


def write(root: Path, *lines: dict, where="m/F=gpt-4/PHF=GT-textual/max5_p2+tool+cd") -> Path:
    path = root / where / "reasoning" / "gsm8k" / "results.jsonl"
    path.parent.mkdir(parents=True)
    path.write_text("".join(json.dumps(each) + "\n" for each in lines))
    return path


def record(**changes) -> EpisodeRecord:
    messages: list[Message] = [
        {"role": "user", "content": FIRST},
        {"role": "assistant", "content": "Assistant:\n<solution>2</solution>\n"},
        {"role": "user", "content": WRONG},
    ]
    fields = {
        "id": "gsm8k/1/abc/0",
        "task_name": "gsm8k",
        "task_id": "1",
        "task_digest": "t",
        "settings_digest": "abc",
        "sample": 0,
        "model": "m",
        "turn_setting": "max5_p2+tool+cd",
        "feedback": "org/gpt-4/GT-textual",
        "messages": messages,
        "turns": [
            Turn(action="propose", content="2", usage=Usage(5, 6), feedback_usage=Usage(7, 8))
        ],
        "counts": Counts(propose_solution=1),
        "outcome": Outcome(success=False, terminate_reason="max_tokens"),
    }
    return EpisodeRecord(**{**fields, **changes})


def write_run(root: Path, *records: EpisodeRecord) -> Path:
    (root / "episodes.jsonl").write_bytes(b"".join(encode(each) + b"\n" for each in records))
    return root


def model(source: Path | str, **settings) -> RecordedModel:
    return RecordedSettings(kind="recorded", source=str(source), **settings).create()


def ask(turn=0, role="policy") -> Request:
    key = EpisodeKey("gsm8k", "1")
    return Request(messages=(), stop=(), episode=key, turn=turn, role=role)


# The environment's message


@pytest.mark.parametrize(
    "message",
    [
        EnvironmentMessage("6", 4, 2),
        EnvironmentMessage("6", 1, 2, last_step=True),
        EnvironmentMessage(
            "a\nYou have 3 steps left and 2 chances to propose solution left.", 2, 2
        ),
        EnvironmentMessage("", 4, 2, feedback=""),
        EnvironmentMessage("6", 4, 2, feedback="good\n\nExpert feedback:\nas I said"),
        EnvironmentMessage("no count-down"),
        EnvironmentMessage("no count-down", feedback="good"),
    ],
)
def test_an_environment_message_survives_rendering_and_parsing(message):
    assert parse_environment(message.render()) == message


def test_other_words_are_no_environment_message():
    assert parse_environment("Task:\nx\n") is None


@pytest.mark.parametrize("text", ["", "a", "a\n", "\na", " Assistant:\na", "Assistant:'a"])
def test_an_assistant_message_survives_rendering_and_parsing(text):
    assert policy_text(assistant_content(text)) == text


@pytest.mark.skipif(not TRANSCRIPTS.is_dir(), reason="the shared recordings are not here")
def test_every_published_recording_is_rendered_again_to_the_letter():
    seen = collections.Counter()
    for path in recording_files(TRANSCRIPTS):
        with gzip.open(path) as file:
            raw = [msgspec.json.decode(each)["state"]["history"] for each in file]
        for episode, history in zip(read_recordings(path), raw, strict=True):
            rendered = [episode.first_message]
            for turn in episode.turns:
                rendered += [assistant_content(turn.text)] if turn.logged else []
                rendered += [turn.environment.render()] if turn.environment else []
            assert rendered == [message["content"] for message in history], episode.place
            assert len(episode.turns) == episode.counts.steps
            seen["records"] += 1
    assert seen["records"] == 27_542


# The reader


def test_the_path_says_what_was_recorded(tmp_path):
    write(tmp_path, line())
    (episode,) = read_recordings(tmp_path)
    assert (episode.model, episode.feedback_model, episode.feedback_kind) == (
        "m",
        "gpt-4",
        "GT-textual",
    )
    assert (episode.turn_setting, episode.task_type, episode.task_name, episode.family) == (
        "max5_p2+tool+cd",
        "reasoning",
        "gsm8k",
        "reasoning",
    )


def test_a_path_that_says_nothing_is_refused(tmp_path):
    (tmp_path / "results.jsonl").write_text(json.dumps(line()))
    with pytest.raises(RecordingError, match="its path does not say what was recorded"):
        list(read_recordings(tmp_path))


def test_a_compressed_file_reads_the_same(tmp_path):
    path = write(tmp_path, line())
    plain = next(read_recordings(path))
    path.with_name("results.jsonl.gz").write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()
    packed = next(read_recordings(tmp_path))
    assert msgspec.structs.replace(packed, place="") == msgspec.structs.replace(plain, place="")


def test_an_answer_of_nothing_is_a_turn_though_it_left_no_message(tmp_path):
    write(tmp_path, line(texts=("a", None, "c")))
    (episode,) = read_recordings(tmp_path)
    assert [(turn.text, turn.logged) for turn in episode.turns] == [
        ("a", True),
        ("", False),
        ("c", True),
    ]


@pytest.mark.parametrize(
    "broken", ["{", "[]", "{}", '{"state": 1, "task": 2}', '{"state": {"history": []}}']
)
def test_a_broken_line_is_refused_with_file_and_line(tmp_path, broken):
    path = write(tmp_path, line())
    path.write_text(f"{path.read_text()}{broken}\n")
    with pytest.raises(RecordingError, match=r"results\.jsonl:2: is no recorded episode"):
        list(read_recordings(tmp_path))


def test_a_history_that_is_no_dialogue_with_the_environment_is_refused(tmp_path):
    write(tmp_path, line(environment="Hello!"))
    with pytest.raises(RecordingError, match=r"results\.jsonl:1: .*not the environment's words"):
        list(read_recordings(tmp_path))


def test_a_truncated_gz_is_refused_with_file_and_line(tmp_path):
    path = write(tmp_path, line())
    whole = gzip.compress(path.read_bytes() * 50)
    path.unlink()
    path.with_name("results.jsonl.gz").write_bytes(whole[:-9])
    with pytest.raises(RecordingError, match=r"results\.jsonl\.gz:\d+: cannot be read"):
        list(read_recordings(tmp_path))


def test_nothing_to_read_is_refused(tmp_path):
    with pytest.raises(RecordingError, match="holds none of"):
        list(read_recordings(tmp_path))
    with pytest.raises(RecordingError, match="no such file or folder"):
        list(read_recordings(tmp_path / "nowhere"))


def test_a_selection_passes_over_the_rest_unread(tmp_path):
    write(tmp_path, line())
    other = write(tmp_path, line(), where="n/F=None/max1_p1")
    other.write_text("broken")
    (episode,) = read_recordings(tmp_path, Selection(model="m"))
    assert episode.model == "m"


def test_our_run_folders_are_read(tmp_path):
    write_run(tmp_path, record())
    (episode,) = read_recordings(tmp_path)
    assert (episode.feedback_model, episode.feedback_kind) == ("org/gpt-4", "GT-textual")
    assert episode.prompt == "Add 1 and 1."
    assert [turn.text for turn in episode.turns] == ["<solution>2</solution>"]


def test_a_torn_last_line_of_a_run_is_passed_over(tmp_path):
    path = write_run(tmp_path, record()) / "episodes.jsonl"
    path.write_bytes(path.read_bytes() + encode(record())[:50])
    assert len(list(read_recordings(tmp_path))) == 1


def test_a_broken_line_of_a_run_is_refused_with_file_and_line(tmp_path):
    messages: list[Message] = [*record().messages[:2], {"role": "user", "content": "Hello!"}]
    write_run(tmp_path, record(), record(messages=messages))
    with pytest.raises(RecordingError, match=r"episodes\.jsonl:2: is no episode record"):
        list(read_recordings(tmp_path))


# The model


async def test_the_policy_says_what_was_recorded_turn_by_turn(tmp_path):
    write(tmp_path, line(texts=("a", "b")))
    recorded = model(tmp_path)
    assert [(await recorded.complete(ask(turn))).text for turn in (0, 1)] == ["a", "b"]


async def test_the_feedback_model_says_what_was_recorded(tmp_path):
    write(tmp_path, line())
    assert (await model(tmp_path).complete(ask(0, "feedback"))).text == "Look again."


async def test_feedback_that_was_not_recorded_is_the_provider_s_failure(tmp_path):
    write(tmp_path, line())
    with pytest.raises(ProviderFailure, match="no recorded feedback for turn 2"):
        await model(tmp_path).complete(ask(1, "feedback"))


async def test_a_recorded_failure_is_repeated_at_its_turn(tmp_path):
    error = "InvalidRequestError\nTraceback\nmaximum context length is 4097 tokens"
    write(tmp_path, line(terminate_reason="error", success=False, error=error))
    with pytest.raises(ModelFailure, match="maximum context length is 4097 tokens"):
        await model(tmp_path).complete(ask(2))


async def test_a_turn_beyond_the_recording_is_the_provider_s_failure(tmp_path):
    write(tmp_path, line())
    with pytest.raises(ProviderFailure, match=r"recorded for 2 turns and ended in task_success"):
        await model(tmp_path).complete(ask(2))


async def test_tokens_are_those_of_the_recorded_turn(tmp_path):
    recorded = model(write_run(tmp_path, record()))
    assert await recorded.complete(ask()) == Completion("<solution>2</solution>", Usage(5, 6))
    assert await recorded.complete(ask(0, "feedback")) == Completion("Look again.", Usage(7, 8))


@pytest.mark.parametrize("imported", [False, True])
async def test_tokens_of_a_whole_episode_come_with_its_last_texts(tmp_path, imported):
    counter = {"prompt_tokens": 20, "completion_tokens": 3}
    counter |= {"feedback_prompt_tokens": 30, "feedback_completion_tokens": 4}
    source = write(tmp_path / "tree", line(texts=("a", "b", "c"), token_counter=counter))
    if imported:
        import_trees(ImportConfig(source=str(source), out=str(tmp_path / "runs")))
        source = tmp_path / "runs"
    recorded = model(source)
    used = {
        role: [(await recorded.complete(ask(turn, role))).usage for turn in range(turns)]
        for role, turns in (("policy", 3), ("feedback", 2))
    }
    assert used == {
        "policy": [Usage(), Usage(), Usage(20, 3)],
        "feedback": [Usage(), Usage(30, 4)],
    }


async def test_episodes_that_were_not_recorded_are_refused_before_the_run(tmp_path):
    write(tmp_path, line())
    keys = [EpisodeKey("gsm8k", str(i)) for i in range(9)]
    with pytest.raises(RecordingError, match=r"8 of 9 .* gsm8k/0, .* and 3 more.* tasks: gsm8k"):
        await model(tmp_path).check(keys)


async def test_recordings_without_feedback_are_refused_as_a_feedback_model(tmp_path):
    write(tmp_path, line(environment="Observation:\n1\n"))
    recorded = model(tmp_path)
    await recorded.check([EpisodeKey("gsm8k", "1")])
    with pytest.raises(RecordingError, match="hold no feedback"):
        await recorded.check([EpisodeKey("gsm8k", "1")], "feedback")


def test_two_recordings_of_one_episode_must_be_told_apart(tmp_path):
    write(tmp_path, line())
    write(tmp_path, line(), where="n/F=None/max5_p2+tool+cd")
    with pytest.raises(RecordingError, match=r"gsm8k/1 was recorded more than once"):
        model(tmp_path)
    assert len(model(tmp_path, recorded_model="n")) == 1


def test_recordings_that_a_package_ships_are_found(tmp_path, monkeypatch):
    package = tmp_path / "shipped_recordings"
    (package / "runs").mkdir(parents=True)
    (package / "__init__.py").touch()
    write_run(package / "runs", record())
    monkeypatch.syspath_prepend(tmp_path)
    assert len(model("pkg://shipped_recordings/runs")) == 1


async def test_of_an_episode_that_was_run_again_the_last_end_counts(tmp_path):
    failed = record(
        messages=record().messages[:1],
        turns=[],
        outcome=Outcome(success=False, terminate_reason="error", cause="provider"),
    )
    recorded = model(write_run(tmp_path, failed, record()))
    assert (await recorded.complete(ask())).text == "<solution>2</solution>"
