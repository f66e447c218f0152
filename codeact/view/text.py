"""An episode, or a list of them, as text for a terminal: no character of it can command one."""

import re
from collections.abc import Iterator

from codeact.episode.effects import Outcome
from codeact.view.runs import ListedEpisode
from codeact.view.transcript import Observed, ShownTurn, ViewedEpisode

_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f"
    "\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]"
)
"""Control characters but tab and newline; marks of direction, no width and line separation."""
_DOES = {"execute": "runs code", "propose": "proposes", "invalid": "no valid action"}


def visible(text: str) -> str:
    """Return a text in which each character that cannot be seen is named instead."""
    return _UNSEEN.sub(_named, text.replace("\r\n", "\n"))


def _named(found: re.Match[str]) -> str:
    code = ord(found[0])
    return chr(0x2400 + code) if code < 0x20 else f"<U+{code:04X}>"


def transcript_text(transcript: ViewedEpisode) -> str:
    """Return an episode as text: its task, its turns, what came of each, its outcome."""
    return visible("\n\n".join(_blocks(transcript))) + "\n"


def _blocks(one: ViewedEpisode) -> Iterator[str]:
    sample = f" sample {one.sample}" if one.sample else ""
    yield f"{one.task_name} {one.task_id}{sample}, {one.model}, {one.turn_setting}"
    if one.opening:
        task = one.opening[-1]["content"].rpartition("\n---\n\n")[2].strip()
        yield task if task.startswith("Task:\n") else f"Task:\n{task}"
    for turn in one.turns:
        yield from _turn(turn)
    if one.problem:
        yield f"The record contradicts itself: {one.problem}. Its messages as they are:"
        yield from (f"{message['role']}:\n{message['content'].strip()}" for message in one.messages)
    yield _end(one.outcome, len(one.turns))


def _turn(turn: ShownTurn) -> Iterator[str]:
    marks = [
        *([f"{turn.usage.prompt} -> {turn.usage.completion} tokens"] if turn.usage.total else []),
        *(["restored"] if turn.restored else []),
        *(["by a person"] if turn.author == "person" else []),
    ]
    yield f"-- Turn {turn.number}: {', '.join([_DOES[turn.action], *marks])}"
    if turn.reasoning:
        yield f"Reasoning:\n{turn.reasoning.strip()}"
    said = _said(turn).removeprefix("Assistant:").strip()
    if said:
        yield said
    for call in turn.calls:
        yield f"Call of {call['name']}:\n{call['arguments']}"
    for one in turn.observed:
        yield from _observed(one)
    if turn.feedback is not None:
        yield f"Feedback:\n{turn.feedback.strip()}"


def _said(turn: ShownTurn) -> str:
    pieces: list[str] = []
    invented = False
    for part in turn.parts:
        if part.invented and not invented:
            pieces.append("\n[what follows was invented by the model]\n")
            invented = True
        pieces.append(part.text)
    return "".join(pieces)


def _observed(one: Observed) -> Iterator[str]:
    if one.content:
        yield f"What ran:\n{one.content}"
    status = f" ({one.status})" if one.status not in (None, "ok") else ""
    if one.text or status:
        yield f"Observation{status}:\n{one.text.strip()}"
    if one.correct is not None:
        yield f"Verdict: {'correct' if one.correct else 'wrong'}" + (
            f" ({one.detail.strip()})" if one.detail.strip() else ""
        )


def _end(outcome: Outcome, turns: int) -> str:
    after = f"after {turns} {'turn' if turns == 1 else 'turns'}"
    if outcome.cause:
        return f"-- failed {after}: {outcome.cause}: {outcome.error.strip()}"
    return f"-- {outcome.terminate_reason} {after}"


def list_line(one: ListedEpisode) -> str:
    """Return an episode's line of a list: result, turns, tokens, task and id."""
    result = f"{one.cause} failed" if one.cause else one.result
    turns = "turn " if one.turns == 1 else "turns"
    return visible(
        f"{result:<8} {one.turns:>3} {turns} {one.prompt + one.completion:>9,} tokens  {one.key}"
    ).replace("\n", "\u240a")
