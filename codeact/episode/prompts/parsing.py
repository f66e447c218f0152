"""Reads what policies write: JSON objects, fenced blocks and marked lines, all in linear time.

A `Fault` says what is wrong, for the policy to read. Nothing here evaluates anything.
"""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

_MOST_BRACES = 10_000
_MOST_TRIES = 100
_MOST_FENCES = 1000
_FENCE = "```"
_MOST_BLANKS = 3
"""Blanks that may stand before a fence or a mark, as in Markdown."""
_PYTHON = {"", "python", "python3", "py", "ipython"}


class Fault(ValueError):
    """What is wrong with a policy's message; goes on after "because "."""


# JSON


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        twice = next(
            name for name, count in Counter(name for name, _ in pairs).items() if count > 1
        )
        raise Fault(f"a JSON object has the key {twice[:_SHOWN]!r} twice")
    return found


def _no_number(word: str) -> Any:
    raise Fault(f"{word} is no JSON")


_SHOWN = 60
_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_number)


def _decoded(text: str, start: int) -> tuple[Any, int]:
    """Return the value that begins at `start`, and its end.

    Raises `json.JSONDecodeError`, or `Fault` for what JSON has no bounds for.
    """
    try:
        return _DECODER.raw_decode(text, start)
    except (json.JSONDecodeError, Fault):
        raise
    except RecursionError:
        raise Fault("its JSON is nested too deeply") from None
    except ValueError:
        raise Fault("a number in its JSON has too many digits") from None


def json_object(text: str) -> dict[str, Any]:
    """Return the JSON object that a text is, and nothing besides; raises `Fault`."""
    _refuse_braces(text)
    start = len(text) - len(text.lstrip())
    try:
        value, end = _decoded(text, start)
    except json.JSONDecodeError as error:
        raise Fault(f"its arguments are no valid JSON ({_reason(error)})") from None
    if text[end:].strip():
        raise Fault("its arguments go on after the JSON object")
    if not isinstance(value, dict):
        raise Fault("its arguments are no JSON object")
    return value


class ObjectFound(NamedTuple):
    """A JSON object in a text, and where it stands."""

    value: dict[str, Any]
    start: int
    end: int


def acting_object(text: str, keys: Sequence[str]) -> ObjectFound:
    """Return the one JSON object of a text that has one of the `keys`; raises `Fault`.

    It may stand anywhere, in a fence too. Braces that begin no JSON are passed over.
    """
    _refuse_braces(text)
    wrong = ""
    others, acting = 0, []
    place, tries = text.find("{"), 0
    while place >= 0 and tries < _MOST_TRIES:
        tries += 1
        try:
            value, end = _decoded(text, place)
        except json.JSONDecodeError as error:
            wrong = wrong or _reason(error)
            end = max(error.pos, place + 1)
        else:
            if any(key in value for key in keys):
                acting.append(ObjectFound(value, place, end))
            else:
                others += 1
        place = text.find("{", end)
    named = " or ".join(f'"{key}"' for key in keys)
    if len(acting) > 1:
        raise Fault(f"it holds {len(acting)} JSON objects with {named}, and one is to be acted on")
    if acting:
        return acting[0]
    if others:
        raise Fault(f"its JSON object has no {named}")
    raise Fault(f"its JSON is not valid ({wrong})" if wrong else "it holds no JSON object")


def _refuse_braces(text: str) -> None:
    """Bound the work: an object costs more than its characters."""
    if text.count("{") > _MOST_BRACES:
        raise Fault(f"it holds more than {_MOST_BRACES:,} opening braces")


def _reason(error: json.JSONDecodeError) -> str:
    return f"{error.msg} at line {error.lineno}, column {error.colno}"


# lines and fences


class Block(NamedTuple):
    """A fenced block: from the start of its first fence to the end of its last."""

    language: str
    content: str
    start: int
    end: int
    closed: bool


def fenced_blocks(text: str) -> list[Block]:
    """Return the fenced blocks of a text, as Markdown has them; raises `Fault` for too many.

    A block ends with a line of at least as many backticks as it began with, or with the text.
    """
    if text.count(_FENCE) > _MOST_FENCES:
        raise Fault(f"it holds more than {_MOST_FENCES:,} fences")
    blocks: list[Block] = []
    opened: tuple[int, int, str, int] | None = None
    for start, line_start, line_end in _fence_lines(text):
        line = text[start:line_end]
        rest = line.lstrip("`")
        ticks = len(line) - len(rest)
        if opened is None:
            if "`" not in rest:
                opened = (line_start, line_end + 1, rest.strip().lower(), ticks)
        elif ticks >= opened[3] and not rest.strip():
            first, inside, language, _ = opened
            content = text[inside : max(inside, line_start - 1)]
            blocks.append(Block(language, content, first, line_end, closed=True))
            opened = None
    if opened is not None:
        first, inside, language, _ = opened
        blocks.append(Block(language, text[inside:], first, len(text), closed=False))
    return blocks


def is_python(block: Block) -> bool:
    """Whether a block is meant as code to run: Python, or of no language."""
    return (block.language.split(maxsplit=1) or [""])[0] in _PYTHON


def _fence_lines(text: str) -> Iterator[tuple[int, int, int]]:
    """Yield, of lines that begin with a fence, where that is, and where they begin and end."""
    place = text.find(_FENCE)
    while place >= 0:
        end = _line_end(text, place)
        start = place
        while start > 0 and place - start < _MOST_BLANKS and text[start - 1] == " ":
            start -= 1
        if start == 0 or text[start - 1] == "\n":
            yield place, start, end
        place = text.find(_FENCE, end)


def _line_end(text: str, place: int) -> int:
    end = text.find("\n", place)
    return len(text) if end < 0 else end


class MarkedLine(NamedTuple):
    """A line that begins with a mark, such as ``Answer:``; `rest` is what the line says then."""

    start: int
    end: int
    rest: str


def marked_line(text: str, mark: str, start: int = 0, stop: int | None = None) -> MarkedLine | None:
    """Return the first line between two places that begins with `mark`, None if there is none."""
    stop = len(text) if stop is None else stop
    indented = [" " * blanks + mark for blanks in range(_MOST_BLANKS + 1)]
    places = [0] if start == 0 and any(map(text.startswith, indented)) else []
    places += [
        at + 1
        for words in indented
        if (at := text.find(f"\n{words}", max(0, start - 1), stop)) >= 0
    ]
    if not places:
        return None
    line = min(places)
    end = _line_end(text, line)
    return MarkedLine(line, end, text[line:end].lstrip(" ")[len(mark) :].strip())


def marked_outside(text: str, mark: str, blocks: Sequence[Block]) -> MarkedLine | None:
    """Return the first marked line that stands in none of the blocks."""
    starts = [0, *(block.end for block in blocks)]
    stops = [*(block.start for block in blocks), len(text)]
    for start, stop in zip(starts, stops, strict=True):
        if found := marked_line(text, mark, start, stop):
            return found
    return None


def answer_after(text: str, found: MarkedLine) -> str:
    """Return the answer that a marked line gives.

    It is the rest of the line. Where there is none, it is what follows: the content of a fenced
    block that comes first, or else all of the text.
    """
    if found.rest:
        return found.rest
    after = text[found.end :]
    try:
        blocks = fenced_blocks(after)
    except Fault:
        blocks = []
    if blocks and not after[: blocks[0].start].strip():
        return blocks[0].content.strip("\n")
    return after.strip()
