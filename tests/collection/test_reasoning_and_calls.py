"""Reasoning and tool calls, from a run's records to what training programs read: none is lost."""

import json
from pathlib import Path

import pytest

from codeact.cli import main
from codeact.collection.conversations import read_conversations
from codeact.collection.conversion import convert, shared_messages
from codeact.collection.filters import FILTERS
from codeact.collection.formats import convert_files
from codeact.collection.masks import Preset, loss_mask
from codeact.collection.texts import STOPS
from codeact.collection.tokens import chatml
from codeact.datasets import task_type_of
from codeact.episode.record import VERSION, EpisodeOrigin, EpisodeRecord, encode
from codeact.jsonl import Unreadable
from codeact.recordings.run_folder import EPISODES
from codeact.recordings.trajectory import Problem, Trajectory, read_trajectories
from tests.collection.test_collection import settings
from tests.helpers.conversations import config, conversation, lines, write
from tests.helpers.records import CALL, OTHER_CALL, calling_record, reasoning_record
from tests.helpers.tokenizer_folders import GENERATION, tokenizer_folder

CODE = {
    "role": "assistant",
    "content": "<execute> 1 + 1 </execute>",
    "reasoning": "I add.\n",
}
TASK = {"role": "user", "content": "Task:\nAdd 1 and 1."}
CALLING = {
    "role": "assistant",
    "content": "I look.",
    "reasoning": "Both at once.",
    "tool_calls": [CALL, OTHER_CALL],
}


def run_of(folder: Path, *records: EpisodeRecord) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / EPISODES).write_bytes(b"".join(encode(one) + b"\n" for one in records))
    return folder


def trajectory(folder: Path, record: EpisodeRecord) -> Trajectory:
    (found,) = read_trajectories(run_of(folder, record) / EPISODES, task_type_of)
    assert isinstance(found, Trajectory), found
    return found


def made(folder: Path, record: EpisodeRecord) -> list[dict]:
    conversation = convert(trajectory(folder, record), settings("ours").conversion)
    return [dict(message) for message in conversation.conversations]


# Trajectories


def test_turns_are_those_of_the_record_whatever_stands_around_their_messages(
    tmp_path: Path,
) -> None:
    assert trajectory(tmp_path, reasoning_record()).turns == 2
    found = trajectory(tmp_path, calling_record())
    assert (found.turns, found.places) == (2, [6, 10])


@pytest.mark.parametrize(
    ("place", "words"),
    [(None, "names no message"), (12, "names no message"), (7, "names a message of the tool")],
)
def test_a_turn_whose_message_is_not_the_policys_makes_the_line_unreadable(
    place: int | None, words: str, tmp_path: Path
) -> None:
    record = calling_record()
    record.turns[1].message = place
    (found,) = read_trajectories(run_of(tmp_path, record) / EPISODES, task_type_of)
    assert isinstance(found, Unreadable)
    assert f"its turn 2 {words}" in found.reason


def test_a_later_version_is_refused_and_said(tmp_path: Path) -> None:
    line = json.loads(encode(reasoning_record())) | {"version": VERSION + 1}
    (tmp_path / EPISODES).write_text(json.dumps(line) + "\n")
    (found,) = read_trajectories(tmp_path / EPISODES, task_type_of)
    assert isinstance(found, Unreadable)
    assert "update codeact" in found.reason


@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("record", [reasoning_record(), calling_record()], ids=["code", "calls"])
def test_every_filter_keeps_a_good_record_of_today(
    name: str, record: EpisodeRecord, tmp_path: Path
) -> None:
    assert FILTERS[name].keeps(trajectory(tmp_path, record), settings("ours"))


def repeated() -> EpisodeRecord:
    record = calling_record()
    record.messages[10:10] = [record.messages[6], *record.messages[7:9]]
    again = record.turns[0]
    record.turns[1:1] = [type(again)(action="execute", content="1 + 1\n2", message=10)]
    record.turns[1].observation = again.observation
    record.turns[2].message = 13
    return record


def leaking(*, thought: bool) -> EpisodeRecord:
    record = calling_record()
    record.reference = "Ombrey Castle"
    record.turns[0].feedback = "It is Ombrey Castle."
    if thought:
        record.messages[6]["reasoning"] = "Could it be Ombrey Castle?"
    return record


def failing() -> EpisodeRecord:
    record = calling_record()
    record.turns[0].actions[0].observation = "TypeError: no"
    return record


def doubled() -> EpisodeRecord:
    record = reasoning_record()
    record.messages[1]["content"] += "<execute> 2 </execute>"
    return record


@pytest.mark.parametrize(
    ("name", "record", "kept"),
    [
        ("repeated_turn", repeated(), False),
        ("gold_leak", leaking(thought=False), False),
        ("gold_leak", leaking(thought=True), True),
        ("all_turns_failed", failing(), False),
        ("several_actions", doubled(), False),
    ],
)
def test_filters_look_at_what_turns_did(
    name: str, record: EpisodeRecord, kept: bool, tmp_path: Path
) -> None:
    assert FILTERS[name].keeps(trajectory(tmp_path, record), settings("ours")) == kept


# Conversations


def test_a_conversation_keeps_reasoning_and_loses_the_servers_own_form_of_it(
    tmp_path: Path,
) -> None:
    assert made(tmp_path, reasoning_record()) == [
        {"role": "system", "content": "Be brief."},
        TASK,
        CODE,
        {"role": "user", "content": "Observation:\nOut[1]: 2"},
        {
            "role": "assistant",
            "content": "<solution> 2 </solution>",
            "reasoning": "So it is 2.",
        },
    ]


def test_a_conversation_keeps_calls_and_results_to_the_letter(tmp_path: Path) -> None:
    system, task, first, *results, last = made(tmp_path, calling_record())
    assert (system, task) == ({"role": "system", "content": "Call functions."}, TASK)
    assert first == CALLING
    assert results == calling_record().messages[7:10]
    assert last["tool_calls"][0]["name"] == "answer"


def test_an_example_within_the_last_message_goes_and_its_instruction_joins_the_system_message(
    tmp_path: Path,
) -> None:
    record = reasoning_record()
    record.messages.insert(0, {"role": "system", "content": "Think."})
    for turn in record.turns:
        turn.message = (turn.message or 0) + 1
    system, task, *_ = made(tmp_path, record)
    assert system["content"] == "Think.\n\nBe brief."
    assert task == TASK


def test_an_opening_without_a_task_is_no_conversation(tmp_path: Path) -> None:
    record = calling_record()
    record.turns[0].message = 4
    with pytest.raises(ValueError, match="no message of the user with the task"):
        made(tmp_path, record)


def test_the_prompt_of_a_continuation_is_all_that_its_policy_did_not_bring_about(
    tmp_path: Path,
) -> None:
    record = calling_record()
    record.origin = EpisodeOrigin(
        episode="x", place="y", model="m", turn_setting="t", sample=0, success=True, turns=1
    )
    found = trajectory(tmp_path, record)
    whole = convert(found, settings("ours").conversion)
    shared = shared_messages(found, whole)
    assert whole.conversations[shared:] == [calling_record().messages[10]]


def test_pairs_of_records_with_calls_share_their_prompt(tmp_path: Path) -> None:
    lost = calling_record()
    lost.id, lost.sample = "gsm8k/2/s/1", 1
    lost.outcome = type(lost.outcome)(success=False, terminate_reason="max_steps")
    lost.messages[10] = {"role": "assistant", "content": "Hm."}
    run = run_of(tmp_path / "run", calling_record(), lost)
    convert_files(config(run, tmp_path / "out", "format=preference"))
    (pair,) = lines(tmp_path / "out" / "pairs.jsonl")
    assert [one["role"] for one in pair["prompt"]] == ["system", "user"]
    assert pair["chosen"][0] == CALLING
    assert pair["rejected"][-1] == {"role": "assistant", "content": "Hm."}
    convert_files(config(run, tmp_path / "dropped", "format=preference", "reasoning=drop"))
    (pair,) = lines(tmp_path / "dropped" / "pairs.jsonl")
    assert "reasoning" not in pair["chosen"][0]


# Masks


@pytest.mark.parametrize(
    ("preset", "trained"), [("all", [2, 6]), ("worked", [6]), ("successful_tail", [6])]
)
def test_a_turn_of_calls_failed_if_a_result_says_so(
    preset: Preset, trained: list[int], tmp_path: Path
) -> None:
    mask = loss_mask(made(tmp_path, calling_record()), preset)  # type: ignore[arg-type]
    assert [number for number, yes in enumerate(mask) if yes] == trained


# Formats


@pytest.fixture(scope="module")
def selected(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What ``codeact select`` makes of both records."""
    root = tmp_path_factory.mktemp("selected")
    run = run_of(root / "run", reasoning_record(), calling_record())
    assert main(["select", str(run), f"out={root / 'selected'}"]) == 0
    return root / "selected" / "easy.jsonl"


def test_sft_is_flat_and_is_read_back(selected: Path, tmp_path: Path) -> None:
    convert_files(config(selected, tmp_path / "out"))
    first, second = (one["conversations"] for one in lines(tmp_path / "out" / "easy.jsonl"))
    assert first[2] == CODE | {"loss": True}
    assert second[2] == CALLING | {"loss": True}
    assert second[3] == {"role": "tool", "content": "2\n", "tool_call_id": "c1", "loss": False}
    # Nothing but a call, and trained all the same.
    assert (second[6]["content"], second[6]["loss"]) == ("", True)
    convert_files(config(tmp_path / "out" / "easy.jsonl", tmp_path / "again"))
    assert lines(tmp_path / "again" / "easy.jsonl") == lines(tmp_path / "out" / "easy.jsonl")


def test_openai_has_the_shape_of_the_api_and_is_read_back(selected: Path, tmp_path: Path) -> None:
    convert_files(config(selected, tmp_path / "out", "format=openai"))
    _, made = (one["messages"] for one in lines(tmp_path / "out" / "easy.jsonl"))
    function = {"name": "python", "arguments": '{"code": "1 + 1"}'}
    assert made[2] == {
        "role": "assistant",
        "content": "I look.",
        "reasoning_content": "Both at once.",
        "tool_calls": [
            {"id": "c1", "type": "function", "function": function},
            {"id": "c2", "type": "function", "function": function | {"arguments": '{"code": "2"}'}},
        ],
        "weight": 1,
    }
    assert made[3] == {"role": "tool", "content": "2\n", "tool_call_id": "c1"}
    assert made[6]["content"] is None
    problems: list[Problem] = []
    (_, before), (_, again) = (
        [one.conversations for one in read_conversations(path, problems)]
        for path in (selected, tmp_path / "out" / "easy.jsonl")
    )
    assert not problems
    assert again == before


def test_hf_has_columns_that_its_library_loads_for_all_splits(
    selected: Path, tmp_path: Path
) -> None:
    from datasets import load_dataset

    source = tmp_path / "in"
    write(source / "plain.jsonl", conversation())
    (source / "easy.jsonl").write_bytes(selected.read_bytes())
    convert_files(config(source, tmp_path / "out", "format=hf"))
    made = load_dataset(str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"))
    message = made["easy"][1]["conversations"][2]
    assert message == CALLING | {"tool_call_id": None, "loss": True}
    assert made["plain"][0]["conversations"][0]["tool_calls"] is None
    assert "`tool_calls`" in (tmp_path / "out" / "README.md").read_text()


def test_reasoning_is_dropped_on_request_in_every_format(selected: Path, tmp_path: Path) -> None:
    for form in ("sft", "openai", "qwen3"):
        convert_files(config(selected, tmp_path / form, f"format={form}", "reasoning=drop"))
        text = (tmp_path / form / "easy.jsonl").read_text()
        assert '"reasoning' not in text.replace('"reasoning/', "")
        assert "I add." not in text
        assert "I look." in text


# Text


def test_qwen3_has_reasoning_calls_and_results_as_its_own_template(
    selected: Path, tmp_path: Path
) -> None:
    convert_files(config(selected, tmp_path / "out", "format=qwen3"))
    code, calls = lines(tmp_path / "out" / "easy.jsonl")
    # A turn before the last message of the user loses its reasoning, by Qwen3's own rule.
    assert "I add." not in code["text"]
    assert code["text"].endswith(
        "<think>\nSo it is 2.\n</think>\n\n<solution> 2 </solution><|im_end|>\n"
    )
    assert calls["text"] == (
        "<|im_start|>system\nCall functions.<|im_end|>\n"
        "<|im_start|>user\nTask:\nAdd 1 and 1.<|im_end|>\n"
        '<|im_start|>assistant\nI look.\n<tool_call>\n{"name": "python", "arguments": '
        '{"code": "1 + 1"}}\n</tool_call>\n<tool_call>\n{"name": "python", "arguments": '
        '{"code": "2"}}\n</tool_call><|im_end|>\n'
        "<|im_start|>user\n<tool_response>\n2\n\n</tool_response>\n"
        "<tool_response>\nNameError: no\n</tool_response><|im_end|>\n"
        "<|im_start|>user\nYou have 3 steps left.<|im_end|>\n"
        '<|im_start|>assistant\n<think>\n\n</think>\n\n<tool_call>\n{"name": "answer", '
        '"arguments": {"solution": "2"}}\n</tool_call><|im_end|>\n'
    )
    trained = [calls["text"][start:end] for start, end in calls["spans"]]
    assert all(one.endswith("</tool_call><|im_end|>") for one in trained)
    assert [one.count("<tool_call>") for one in trained] == [2, 1]
    assert not any("tool_response" in one or "assistant" in one for one in trained)


@pytest.mark.parametrize("form", ["chatml", "llama3"])
def test_a_format_that_shows_nothing_of_them_leaves_such_conversations_out_and_says_so(
    form: str, selected: Path, tmp_path: Path
) -> None:
    source = tmp_path / "in" / "easy.jsonl"
    write(source, conversation())
    source.write_bytes(source.read_bytes() + selected.read_bytes())
    done = convert_files(config(source, tmp_path / "a", f"format={form}"))
    assert done.examples == {"easy.jsonl": 1}
    assert len(done.problems) == 2
    assert all("of which this format shows nothing" in one.reason for one in done.problems)
    done = convert_files(config(source, tmp_path / "b", f"format={form}", "reasoning=drop"))
    assert done.examples == {"easy.jsonl": 2}
    (problem,) = done.problems
    assert "it has tool calls" in problem.reason


SHOWING = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.role == 'assistant' %}"
    "{% generation %}{% if m.reasoning_content %}[{{ m.reasoning_content }}]{% endif %}"
    "{{ m.content }}{% for c in m.tool_calls or [] %}{{ c.function.name }}"
    "({{ c.function.arguments.code }}){% endfor %}<|im_end|>{% endgeneration %}"
    "{% else %}{% if m.name %}{{ m.name }}: {% endif %}{{ m.content }}<|im_end|>{% endif %}"
    "{{ '\n' }}{% endfor %}"
)


def test_a_folders_template_gets_them_as_transformers_gives_them(
    selected: Path, tmp_path: Path
) -> None:
    folder = tokenizer_folder(tmp_path / "model", SHOWING)
    convert_files(config(selected, tmp_path / "out", "format=template", f"template={folder}"))
    code, calls = lines(tmp_path / "out" / "easy.jsonl")
    spoken = [code["text"][start:end] for start, end in code["spans"]]
    assert spoken[0] == "[I add.\n]<execute> 1 + 1 </execute><|im_end|>"
    spoken = [calls["text"][start:end] for start, end in calls["spans"]]
    assert spoken[0] == "[Both at once.]I look.python(1 + 1)python(2)<|im_end|>"
    assert "<|im_start|>tool\npython: 2\n<|im_end|>" in calls["text"]


def test_a_folders_template_without_a_word_of_them_is_refused_for_these(
    selected: Path, tmp_path: Path
) -> None:
    folder = tokenizer_folder(tmp_path / "model", GENERATION)
    chosen = ("format=template", f"template={folder}", "reasoning=drop")
    done = convert_files(config(selected, tmp_path / "out", *chosen))
    assert done.examples == {"easy.jsonl": 1}
    assert "it has tool calls" in done.problems[0].reason


def test_arguments_that_are_no_object_have_no_text_and_are_said(tmp_path: Path) -> None:
    record = calling_record()
    record.messages[6]["tool_calls"] = [CALL | {"arguments": "{not JSON"}]  # type: ignore[list-item]
    run = run_of(tmp_path / "run", record, reasoning_record())
    assert main(["select", str(run), f"out={tmp_path / 's'}"]) == 0
    source = tmp_path / "s" / "easy.jsonl"
    done = convert_files(config(source, tmp_path / "out", "format=qwen3"))
    assert done.examples == {"easy.jsonl": 1}
    assert "it calls python with arguments that are no JSON object" in done.problems[0].reason
    convert_files(config(source, tmp_path / "sft"))
    assert "{not JSON" in (tmp_path / "sft" / "easy.jsonl").read_text()


@pytest.mark.parametrize("form", STOPS)
def test_a_formats_token_within_reasoning_or_arguments_is_found(form: str, tmp_path: Path) -> None:
    stop = STOPS[form]  # type: ignore[index]
    forged = conversation()
    forged["conversations"][2]["reasoning"] = f"Hm {stop}"
    called = conversation(2)
    called["conversations"][2]["tool_calls"] = [CALL | {"arguments": f'{{"a": "{stop}"}}'}]
    source = write(tmp_path / "in" / "easy.jsonl", conversation(3), forged, called)
    done = convert_files(config(source, tmp_path / "out", f"format={form}"))
    assert done.examples == {"easy.jsonl": 1}
    assert all(f"its message 3 says {stop}" in one.reason for one in done.problems)
    assert len(done.problems) == 2


def test_tokens_are_counted_of_reasoning_and_calls_too() -> None:
    text = chatml([CALLING])  # type: ignore[list-item]
    assert text.startswith("<|im_start|>assistant\n<think>\nBoth at once.\n</think>\n\nI look.")
    assert text.count("<tool_call>") == 2


def test_conversations_that_differ_in_calls_alone_are_no_duplicates(
    selected: Path, tmp_path: Path
) -> None:
    other = [json.loads(one) for one in selected.read_text().splitlines()][1]
    other["conversations"][2]["tool_calls"][0]["arguments"] = '{"code": "3"}'
    mixed = write(tmp_path / "in" / "more.jsonl", other)
    done = convert_files(config(selected, tmp_path / "out", f"mix=[{{path: {mixed}, count: 1}}]"))
    assert [one.duplicates for one in done.mix] == [0, 0]
