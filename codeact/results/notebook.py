"""Runs and transcripts as HTML, for notebooks; whatever a model wrote comes out as plain text."""

import html
import unicodedata
from collections.abc import Iterator

from rich.table import Table
from rich.text import Text

from codeact.episode.effects import Turn
from codeact.episode.messages import Message
from codeact.episode.record import EpisodeRecord

_LONGEST, _MOST_MESSAGES = 20_000, 200
"""Characters of a message, and messages of an episode, that are shown."""
_BLOCK = "white-space: pre-wrap; overflow-wrap: anywhere; margin: 0.2em 0 0.8em 0"
_KEPT = "\n\t"


def escaped(text: str) -> str:
    """Return text as HTML shows it, and nothing else: no element, no hidden or turning character.

    Control and format characters, such as those that turn the direction of text, are shown by
    their number.
    """
    shown = "".join(
        one
        if one in _KEPT or unicodedata.category(one) not in ("Cc", "Cf", "Cs", "Co", "Cn")
        else f"⟨U+{ord(one):04X}⟩"
        for one in text
    )
    return html.escape(shown)


def table_html(table: Table) -> str:
    """Return a table of the terminal as HTML."""
    cells = [[_plain(cell) for cell in column.cells] for column in table.columns]
    heads = "".join(f"<th>{escaped(_plain(column.header))}</th>" for column in table.columns)
    rows = "".join(
        f"<tr>{''.join(f'<td>{escaped(cell)}</td>' for cell in row)}</tr>"
        for row in zip(*cells, strict=True)
    )
    title = f"<caption>{escaped(_plain(table.title))}</caption>" if table.title else ""
    return f"<table>{title}<thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>"


def _plain(cell: object) -> str:
    return cell.plain if isinstance(cell, Text) else str(cell)


def transcript_html(record: EpisodeRecord) -> str:
    """Return an episode as HTML: how it ended, then its messages, each turn with its numbers."""
    return f"<div>{_head(record)}{''.join(_messages(record))}</div>"


def _head(record: EpisodeRecord) -> str:
    outcome = record.outcome
    end = "solved" if outcome.success else outcome.cause or outcome.terminate_reason
    facts = [
        f"{record.task_name}/{record.task_id}, sample {record.sample}",
        record.model,
        record.turn_setting,
        f"{len(record.turns)} turns",
        f"{record.usage.total:,} tokens",
        f"{record.seconds:.1f} s",
    ]
    error = f"<pre style='{_BLOCK}'>{escaped(_cut(outcome.error))}</pre>" if outcome.error else ""
    return f"<p><b>{escaped(end)}</b> · {escaped(' · '.join(facts))}</p>{error}"


def _messages(record: EpisodeRecord) -> Iterator[str]:
    opening = len(record.opening)
    turns = _turns_by_message(record)
    before = "".join(_message(one, None) for one in record.messages[:opening])
    if before:
        yield f"<details><summary>task and instructions</summary>{before}</details>"
    for place, message in enumerate(record.messages[opening : opening + _MOST_MESSAGES], opening):
        yield _message(message, turns.get(place))
    if (more := len(record.messages) - opening - _MOST_MESSAGES) > 0:
        yield f"<p>and {more:,} more messages</p>"


def _turns_by_message(record: EpisodeRecord) -> dict[int, tuple[int, Turn]]:
    """Return each turn and its number, from 1, by the place of the policy's message."""
    if record.version == 1:
        places = [n for n, one in enumerate(record.messages) if one["role"] == "assistant"]
        pairs = zip(places, record.turns, strict=False)
        return {place: (number, turn) for number, (place, turn) in enumerate(pairs, 1)}
    return {
        turn.message: (number, turn)
        for number, turn in enumerate(record.turns, 1)
        if turn.message is not None
    }


def _message(message: Message, turn: tuple[int, Turn] | None) -> str:
    head = message["role"] if turn is None else _of_turn(*turn)
    parts = [f"<div><b>{escaped(head)}</b></div>"]
    if reasoning := message.get("reasoning"):
        shown = f"<pre style='{_BLOCK}'>{escaped(_cut(reasoning))}</pre>"
        parts.append(f"<details><summary>reasoning</summary>{shown}</details>")
    if message["content"]:
        parts.append(f"<pre style='{_BLOCK}'>{escaped(_cut(message['content']))}</pre>")
    for call in message.get("tool_calls", ()):
        text = escaped(_cut(f"{call['name']}({call['arguments']})"))
        parts.append(f"<pre style='{_BLOCK}'>{text}</pre>")
    return "".join(parts)


def _of_turn(number: int, turn: Turn) -> str:
    facts = [f"turn {number}: {turn.action}"]
    if turn.status not in (None, "ok"):
        facts.append(str(turn.status))
    if turn.correct is not None:
        facts.append("right" if turn.correct else "wrong")
    if turn.usage.total:
        facts.append(f"{turn.usage.total:,} tokens")
    if turn.seconds:
        facts.append(f"{sum(turn.seconds.values()):.1f} s")
    return " · ".join(facts)


def _cut(text: str) -> str:
    more = len(text) - _LONGEST
    return text if more <= 0 else f"{text[:_LONGEST]}\n… and {more:,} more characters"
