"""A recorded episode in the parts that a reader looks at, for the page, for text and for programs.

Everything here is data: nothing of what a model wrote becomes markup.
"""

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Literal

import msgspec

from codeact.collection.actions import actions, invented_at
from codeact.episode.effects import ActionKind, ActionRecord, Author, Outcome, Status, Turn, Usage
from codeact.episode.messages import Answer, Message, ToolCall
from codeact.episode.record import Attempt, EpisodeOrigin, EpisodeRecord
from codeact.recordings.transcript import RecordedTurn, turns_of_record

PartKind = Literal["text", "code", "answer"]


class TextPart(msgspec.Struct, frozen=True):
    """A stretch of what the policy wrote; `invented` is what only the environment can tell."""

    kind: PartKind
    text: str
    invented: bool = False


class Observed(msgspec.Struct, frozen=True, kw_only=True):
    """An action and what came of it. `content` is empty where the text shows it already."""

    action: ActionKind
    text: str
    content: str = ""
    status: Status | None = None
    correct: bool | None = None
    detail: str = ""


class ShownTurn(msgspec.Struct, frozen=True, kw_only=True):
    """One turn.

    `environment` is all that was sent back, word for word; `logged` is False for an empty answer,
    which left no message. Tokens are those of this turn, costs are in USD, `seconds` are by effect.
    """

    number: int
    action: ActionKind
    parts: list[TextPart]
    observed: list[Observed]
    reasoning: str | None = None
    calls: Sequence[ToolCall] = ()
    feedback: str | None = None
    environment: str = ""
    logged: bool = True
    usage: Usage = Usage()
    feedback_usage: Usage = Usage()
    seconds: dict[str, float] = {}
    cost: float | None = None
    feedback_cost: float | None = None
    retries: Sequence[str] = ()
    reused: bool = False
    restored: bool = False
    author: Author = "model"
    original: str | None = None
    cut: bool = False
    leaks: Sequence[str] = ()


class ViewedEpisode(msgspec.Struct, frozen=True, kw_only=True):
    """One episode. `key` finds it in its run.

    `messages` stand in place of `turns` where the record contradicts itself; `problem` says how.
    """

    key: str
    id: str
    task_name: str
    task_id: str
    task_digest: str
    settings_digest: str
    sample: int
    model: str
    turn_setting: str
    feedback: str
    outcome: Outcome
    opening: list[Message]
    turns: list[ShownTurn]
    messages: list[Message]
    problem: str
    usage: Usage
    feedback_usage: Usage
    cost: float | None
    feedback_cost: float | None
    seconds: float
    edited: int
    attempts: list[Attempt]
    origin: EpisodeOrigin | None
    reference: object


def transcript_of(record: EpisodeRecord, key: str = "") -> ViewedEpisode:
    """Return an episode in parts; a record that contradicts itself keeps its messages."""
    problem = ""
    shown: list[ShownTurn] = []
    try:
        recorded = turns_of_record(record)
    except (ValueError, KeyError, IndexError) as error:
        problem = str(error)
    else:
        shown = _shown(record, recorded)
    return ViewedEpisode(
        key=key or record.id,
        id=record.id,
        task_name=record.task_name,
        task_id=record.task_id,
        task_digest=record.task_digest,
        settings_digest=record.settings_digest,
        sample=record.sample,
        model=record.model,
        turn_setting=record.turn_setting,
        feedback=record.feedback,
        outcome=record.outcome,
        opening=[] if problem else list(record.opening),
        turns=shown,
        messages=list(record.messages) if problem else [],
        problem=problem,
        usage=record.usage,
        feedback_usage=record.feedback_usage,
        cost=record.cost,
        feedback_cost=record.feedback_cost,
        seconds=record.seconds,
        edited=record.edited,
        attempts=[msgspec.structs.replace(one, tokens=msgspec.UNSET) for one in record.attempts],
        origin=record.origin,
        reference=record.reference,
    )


_NO_TURN = Turn(action="invalid", content="")
_NO_ANSWER = RecordedTurn(Answer(), logged=False)


def _shown(record: EpisodeRecord, recorded: Sequence[RecordedTurn]) -> list[ShownTurn]:
    pairs = zip_longest(record.turns, recorded)
    sent = _sent(record)
    return [
        _turn(number, turn or _NO_TURN, answer or _NO_ANSWER, sent)
        for number, (turn, answer) in enumerate(pairs, 1)
    ]


def _sent(record: EpisodeRecord) -> dict[int, str]:
    """Return what the environment sent after each message of the policy, by its place."""
    places = [turn.message for turn in record.turns if turn.message is not None]
    ends = [*places, len(record.messages)][1:]
    return {
        place: "\n".join(one["content"] for one in record.messages[place + 1 : end])
        for place, end in zip(places, ends, strict=True)
    }


def _turn(number: int, turn: Turn, recorded: RecordedTurn, sent: Mapping[int, str]) -> ShownTurn:
    environment, answer = recorded.environment, recorded.answer
    parts = parts_of(answer.text, turn.actions or (turn,))
    code = "\n".join(part.text for part in parts if part.kind != "text")
    whole = environment.render() if environment else ""
    if turn.message is not None:
        whole = sent[turn.message]
    feedback = turn.feedback
    if feedback is None and environment is not None:
        feedback = environment.feedback
    return ShownTurn(
        number=number,
        action=turn.action,
        parts=parts,
        observed=_observed(turn, recorded, code),
        reasoning=answer.reasoning,
        calls=answer.tool_calls,
        feedback=feedback,
        environment=whole,
        logged=recorded.logged,
        usage=turn.usage,
        feedback_usage=turn.feedback_usage,
        seconds=turn.seconds,
        cost=turn.cost,
        feedback_cost=turn.feedback_cost,
        retries=turn.retries,
        reused=bool(turn.reused),
        restored=turn.restored,
        author=turn.author,
        original=turn.original,
        cut=turn.cut,
        leaks=turn.leaks or (),
    )


def _observed(turn: Turn, recorded: RecordedTurn, code: str) -> list[Observed]:
    if turn.actions:
        return [
            Observed(
                action=one.action,
                text=one.observation,
                content="" if one.content in code else one.content,
                status=one.status,
                correct=one.correct,
                detail=one.detail,
            )
            for one in turn.actions
        ]
    environment = recorded.environment
    text = turn.observation or (environment.observation if environment else "")
    content = "" if _is_within(turn.content, code) else turn.content
    found = Observed(
        action=turn.action,
        text=text,
        content=content,
        status=turn.status,
        correct=turn.correct,
        detail=turn.detail,
    )
    return [found] if text or content or turn.status or turn.correct is not None else []


def _is_within(content: str, code: str) -> bool:
    """Whether code shows all lines of a turn's content; several cells are joined by newlines."""
    return content in code or all(line.strip() in code for line in content.splitlines())


def parts_of(text: str, done: Sequence[Turn | ActionRecord]) -> list[TextPart]:
    """Split what a policy wrote at its actions, and where it goes on in the environment's place.

    Joined, the parts are the text. Actions are found by their tags, else by their contents.
    """
    spans = _tagged(text) or _by_content(text, done)
    start = invented_at(text, actions(text))
    parts: list[TextPart] = []
    position = 0
    for kind, begin, end in [*spans, ("text", len(text), len(text))]:
        parts += _cut("text", text, position, begin, start)
        if kind != "text":
            parts += _cut(kind, text, begin, end, start)
        position = end
    return parts


_Span = tuple[PartKind, int, int]
_KINDS: dict[str, PartKind] = {"execute": "code", "solution": "answer", "propose": "answer"}


def _tagged(text: str) -> list[_Span]:
    """Return the insides of tags, without those that lie within others."""
    spans: list[_Span] = []
    position = 0
    for one in actions(text):
        if one.start >= position:
            width = len(one.tag)
            spans.append((_KINDS[one.tag], one.start + width + 2, one.end - width - 3))
            position = one.end
    return spans


def _by_content(text: str, done: Sequence[Turn | ActionRecord]) -> list[_Span]:
    spans: list[_Span] = []
    position = 0
    for one in done:
        if one.action == "invalid" or not one.content.strip():
            continue
        begin = text.find(one.content, position)
        if begin >= 0:
            position = begin + len(one.content)
            spans.append((_KINDS[one.action], begin, position))
    return spans


def _cut(kind: PartKind, text: str, begin: int, end: int, invented: int | None) -> list[TextPart]:
    """Return a stretch of a text, in two where the invented part begins within it."""
    border = end if invented is None else min(max(invented, begin), end)
    own, other = text[begin:border], text[border:end]
    found = [TextPart(kind, own)] if own else []
    return [*found, TextPart(kind, other, invented=True)] if other else found
