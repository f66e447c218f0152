"""A person at the terminal: how their lines become messages, and how they leave."""

import asyncio
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from codeact.episode.effects import Completion, Failure, Usage
from codeact.exceptions import UserFailure
from codeact.models.base import EpisodeKey, Request, Role
from codeact.models.person.client import PersonModel
from codeact.models.person.editor import MessageEditor
from codeact.models.person.settings import PersonSettings
from codeact.models.person.terminal import ENDS, Terminal, printable, terminal


class Typing:
    """Writes what the person types into a pipe; `close` is their Ctrl-D."""

    def __init__(self, descriptor: int) -> None:
        self._file = os.fdopen(descriptor, "wb", buffering=0)

    def send(self, text: str) -> None:
        self._file.write(text.encode())

    def close(self) -> None:
        self._file.close()


@pytest.fixture
def typing(monkeypatch: pytest.MonkeyPatch) -> Iterator[Typing]:
    out, into = os.pipe()
    typed = Typing(into)
    with os.fdopen(out) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        terminal.cache_clear()
        yield typed
        typed.close()
    terminal.cache_clear()


@pytest.mark.parametrize(
    ("typed", "message", "rest"),
    [
        ("hello\n\nnext\n", "hello", "next"),
        ("\n\nhello\n", "hello", None),
        ("<execute>\na\n\nb\n</execute>\nnext\n", "<execute>\na\n\nb\n</execute>", "next"),
        ("so <solution> 4 </solution>\nnext\n", "so <solution> 4 </solution>", "next"),
        ("no newline", "no newline", None),
        ("carriage\r\n\r\n", "carriage", None),
        ("\u00e9\u4e2d\n\n", "\u00e9\u4e2d", None),
    ],
)  # fmt: skip
async def test_where_a_message_ends(
    typing: Typing, typed: str, message: str, rest: str | None
) -> None:
    typing.send(typed)
    typing.close()
    person = Terminal()
    assert await person.ask_text("> ", *ENDS) == message
    assert await person.ask_text("> ") == rest


async def test_what_is_no_text_does_not_stop_it(typing: Typing) -> None:
    typing._file.write(b"\xff\x00\n\n")
    assert await Terminal().ask_text("> ") == "\N{REPLACEMENT CHARACTER}\0"


async def test_a_line_without_end_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "flood").write_text("x" * (1 << 21))
    with (tmp_path / "flood").open() as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        text = await Terminal().ask_text("> ")
    assert text is not None
    assert len(text) == 1 << 20


async def test_who_leaves_is_not_asked_again(typing: Typing) -> None:
    person = Terminal()
    asking = asyncio.create_task(person.ask("> "))
    await asyncio.sleep(0)
    person.leave()
    assert await asking is None
    typing.send("too late\n")
    assert await person.ask("> ") is None


async def test_a_question_that_is_called_off_leaves_the_person_there(typing: Typing) -> None:
    person = Terminal()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await person.ask("> ")
    typing.send("here\n")
    assert await person.ask("> ") == "here"


def test_what_a_model_wrote_cannot_steer_the_terminal() -> None:
    shown = printable("a\x1b[2Jb\x07\r\x9b\u202e\tc\nd")
    assert shown == "a\ufffd[2Jb\ufffd\ufffd\ufffd\ufffd\tc\nd"


def request(role: Role = "policy") -> Request:
    return Request((), (), EpisodeKey("t", "1"), 1, role=role)


async def test_the_person_as_a_client(typing: Typing) -> None:
    client = PersonModel(PersonSettings(kind="person"))
    typing.send("my words\n\ngood\n\n")
    said = await client.complete(request())
    assert (said.text, said.author, said.usage) == ("my words", "person", Usage())
    assert (await client.complete(request("feedback"))).text == "good"
    assert (await client.complete(request("feedback"))).text == ""
    typing.close()
    with pytest.raises(UserFailure, match="left in turn 2") as raised:
        await client.complete(request())
    assert raised.value.final


async def test_an_edited_message_keeps_what_the_model_wrote(typing: Typing) -> None:
    written = Completion("<execute>1</execute>", usage=Usage(5, 7), cost=0.5)
    typing.send("e\n<execute>2</execute>\nwhat?\n\n")
    found = await MessageEditor().edited(written, 0)
    assert isinstance(found, Completion)
    assert (found.text, found.author) == ("<execute>2</execute>", "person")
    assert (found.original, found.usage) == (written.text, written.usage)


@pytest.mark.parametrize(("typed", "why"), [("q\n", "ended the episode"), ("", "left in turn 1")])
async def test_a_message_that_is_not_acted_on_is_paid_for(
    typing: Typing, typed: str, why: str
) -> None:
    typing.send(typed)
    typing.close()
    found = await MessageEditor().edited(Completion("x", usage=Usage(5, 7), cost=0.5), 0)
    assert isinstance(found, Failure)
    assert (found.cause, found.final, found.usage, found.cost) == ("user", True, Usage(5, 7), 0.5)
    assert why in found.message


async def test_an_untouched_message_is_the_models_own(typing: Typing) -> None:
    written = Completion("x")
    typing.send("e\nx\n\n\n")
    assert await MessageEditor().edited(written, 0) is written
