"""General conversations: the shapes of public data sets, their masks, and what is refused."""

import gzip
import json
from pathlib import Path

import pytest

from codeact.cli import main
from codeact.collection.conversations import data_set_of, read_conversations
from codeact.collection.formats import convert_files
from codeact.collection.shapes import conversation_of
from codeact.jsonl import SourceLine
from codeact.recordings.trajectory import Problem
from tests.helpers.conversations import config, conversation, lines, write
from tests.helpers.documents import ROOT

SHARED = {
    "id": 7,
    "system": "Be kind.",
    "conversations": [
        {"from": "human", "value": "Close the proper tags: <b>x"},
        {"from": "gpt", "value": "Observation:\nuse the correct tags.\n```html\n<b>x</b>\n```"},
        {"from": "user", "value": "Thanks"},
        {"from": "assistant", "value": "Bye."},
    ],
}
ORCA = {"id": "flan.1", "system_prompt": "", "question": "1 + 1?", "response": "2"}
OPENAI = {
    "messages": [
        {"role": "developer", "content": "Be kind."},
        {
            "role": "user",
            "content": [{"type": "text", "text": "1 + "}, {"type": "text", "text": "1?"}],
        },
        {"role": "assistant", "content": "3", "weight": 0},
        {"role": "user", "content": "Sure?"},
        {"role": "assistant", "content": "2"},
    ]
}


@pytest.mark.parametrize(
    ("row", "name", "roles", "last"),
    [
        (SHARED, "7", "suaua", "Bye."),
        (ORCA, "flan.1", "ua", "2"),
        ({**ORCA, "system_prompt": "S"}, "flan.1", "sua", "2"),
        (OPENAI, "chat:3", "suaua", "2"),
        ({"conversations": conversation()["conversations"]}, "chat:3", "suauaua", None),
        (conversation(), "reasoning/math/1/m/s", "suauaua", None),
    ],
)
def test_every_shape_becomes_messages(row: dict, name: str, roles: str, last: str | None) -> None:
    found = conversation_of(json.dumps(row).encode(), SourceLine("in/chat.jsonl.gz", 3))
    assert found.id == name
    assert "".join(one["role"][0] for one in found.conversations) == roles
    assert last is None or found.conversations[-1]["content"] == last
    assert set(found.conversations[0]) == {"role", "content"}


BAD = {
    "its shape is unknown": {"prompt": "x", "completion": "y"},
    "its keys are prompt, completion": {"prompt": "x", "completion": "y"},
    "of the role 'narrator'": {"conversations": [{"from": "narrator", "value": "x"}]},
    "message 2 calls a tool": {
        "messages": [
            {"role": "user", "content": "x"},
            {"role": "assistant", "content": None, "function_call": {"name": "f"}},
        ]
    },
    "a tool call of its message 1 has no name": {
        "messages": [{"role": "assistant", "content": None, "tool_calls": [{}]}]
    },
    "the tool_calls of its message 1 are no list": {
        "messages": [{"role": "assistant", "content": None, "tool_calls": {"name": "f"}}]
    },
    "reasoning that is no text, or two of them": {
        "messages": [
            {"role": "assistant", "content": "x", "reasoning": "a", "reasoning_content": "b"}
        ]
    },
    "message 1 calls a tool": {"conversations": [{"from": "observation", "value": "x"}]},
    "message 1 has parts that are no text": {
        "messages": [{"role": "user", "content": [{"type": "image_url"}]}]
    },
    "message 1 has no text": {"messages": [{"role": "user", "content": None}]},
    "message 1 has no role": {"messages": ["x"]},
    "message 1 has neither role and content": {"conversations": [{"text": "x"}]},
    "Expected `object`": [1],
    "has no message of the assistant": {"messages": [{"role": "user", "content": "x"}]},
}


@pytest.mark.parametrize("said", BAD)
def test_a_line_that_cannot_be_taken_is_named_with_its_place(said: str, tmp_path: Path) -> None:
    file = tmp_path / "chat.jsonl.gz"
    file.write_bytes(
        gzip.compress(b"\n".join(json.dumps(one).encode() for one in (ORCA, BAD[said])))
    )
    problems: list[Problem] = []
    assert [one.id for one in read_conversations(file, problems)] == ["flan.1"]
    (problem,) = problems
    assert problem.place == f"{file}:2"
    assert said in problem.reason


@pytest.mark.parametrize("loss", ["all", "worked", "successful_tail"])
@pytest.mark.parametrize("tags", ["keep", "markdown"])
def test_a_general_turn_is_no_failed_one_and_its_words_stay(
    loss: str, tags: str, tmp_path: Path
) -> None:
    """Its fences are no actions, its tags are not ours, and nobody invented its observation."""
    source = write(tmp_path / "in" / "chat.jsonl", SHARED)
    chosen = (f"loss={loss}", f"tags={tags}", "format=openai")
    done = convert_files(config(source, tmp_path / "out", *chosen))
    assert done.problems == []
    (made,) = lines(tmp_path / "out" / "chat.jsonl")
    _, *rest = made["messages"]
    assert [one["content"] for one in rest] == [one["value"] for one in SHARED["conversations"]]  # type: ignore[attr-defined]
    assert [one.get("weight") for one in rest] == [None, 1, None, 1]


def test_what_a_file_does_not_train_stays_untrained(tmp_path: Path) -> None:
    source = write(tmp_path / "in" / "chat.jsonl", OPENAI)
    convert_files(config(source, tmp_path / "sft", "loss=all"))
    (made,) = lines(tmp_path / "sft" / "chat.jsonl")
    assert [one["loss"] for one in made["conversations"]] == [False, False, False, False, True]
    convert_files(config(tmp_path / "sft" / "chat.jsonl", tmp_path / "again", "format=chatml"))
    (text,) = lines(tmp_path / "again" / "chat.jsonl")
    assert [text["text"][start:end] for start, end in text["spans"]] == ["2<|im_end|>"]


def test_a_turn_that_is_trained_in_part_is_so_again(tmp_path: Path) -> None:
    said = "I try: <execute> 1 + 1 </execute>. It prints 2."
    source = write(tmp_path / "in" / "easy.jsonl", conversation(1, said))
    convert_files(config(source, tmp_path / "a"))
    convert_files(config(tmp_path / "a" / "easy.jsonl", tmp_path / "b"))
    assert lines(tmp_path / "a" / "easy.jsonl") == lines(tmp_path / "b" / "easy.jsonl")


def test_statistics_count_general_conversations_as_one_data_set(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write(tmp_path / "in" / "chat.jsonl", SHARED, ORCA, OPENAI, conversation())
    assert main(["stats", str(source), f"out={tmp_path / 'out'}"]) == 0
    rows = json.loads((tmp_path / "out" / "statistics.json").read_text())["rows"]
    assert {row["task"]: row["examples"] for row in rows} == {"general": 3, "math": 1, "all": 4}


def test_the_example_has_every_shape() -> None:
    problems: list[Problem] = []
    found = list(read_conversations(ROOT / "examples" / "general.jsonl", problems))
    assert problems == []
    assert {data_set_of(one) for one in found} == {"general"}
    assert any(one.untrained for one in found)
