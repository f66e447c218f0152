"""Effects and their results: what an episode asks for, and what it gets back.

An `Effect` is a request of the state machine. The driver performs it and returns the matching
result, or a `Failure`.
"""

import math
from collections.abc import Iterable
from typing import Literal

import msgspec

from codeact.episode.messages import Answer, Message, RequestOptions
from codeact.episode.tokens import CompletionTokens
from codeact.exceptions import Cause


class Usage(msgspec.Struct, frozen=True):
    """Tokens of one request or of many.

    `cached` is the part of `prompt` served from a cache, and `cache_written` the part that a server
    wrote into one for a price. `reasoning` is the part of `completion` that is no text.
    """

    prompt: int = 0
    completion: int = 0
    cached: int = 0
    reasoning: int = 0
    cache_written: int = 0

    @property
    def total(self) -> int:
        return self.prompt + self.completion

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            self.prompt + other.prompt,
            self.completion + other.completion,
            self.cached + other.cached,
            self.reasoning + other.reasoning,
            self.cache_written + other.cache_written,
        )


class Complete(msgspec.Struct, frozen=True):
    """Ask the policy for its next message."""

    messages: tuple[Message, ...]
    turn: int
    options: RequestOptions


class Execute(msgspec.Struct, frozen=True):
    """Run a cell in the episode's REPL."""

    code: str
    turn: int


class Grade(msgspec.Struct, frozen=True):
    """Judge a proposed answer."""

    answer: str
    turn: int


class Critique(msgspec.Struct, frozen=True):
    """Ask the feedback model about the turn just played."""

    messages: tuple[Message, ...]
    turn: int
    options: RequestOptions


Effect = Complete | Execute | Grade | Critique


class RestoredTurn(msgspec.Struct, frozen=True):
    """What a recorded episode's environment said in a turn that is played again.

    It is shown in place of what the environment says now: an observation for each action of the
    turn. None, and an observation too few, is what was not recorded.
    """

    observations: tuple[str, ...] = ()
    feedback: str | None = None


Author = Literal["model", "person"]


class Completion(Answer, frozen=True):
    """The result of `Complete` or `Critique`: an answer, and how it came about.

    `seconds` is wall time including retries; `retries` says why each earlier attempt failed. `cost`
    is in USD, None without configured prices. A `reused` completion came from the response cache:
    its usage is what it took originally, and it costs nothing now. `counted` is our own count of
    the ids that the server read and sampled, where it shows them. `author` is who wrote the text;
    where a person edited what the model wrote, that is `original`. A `restored` completion is that
    of a recorded turn, which is played again. A `cut` one went on after a stop string, for a server
    that stops at none: the rest was paid for and is not part of it. `tokens` are the exact ones of
    the request, where they are recorded.
    """

    text: str
    usage: Usage = Usage()
    seconds: float = 0.0
    finish_reason: str = "stop"
    cut: bool = False
    retries: tuple[str, ...] = ()
    cost: float | None = None
    reused: bool = False
    author: Author = "model"
    original: str | None = None
    restored: RestoredTurn | None = None
    tokens: CompletionTokens | None = None
    counted: Usage | None = None


def valid_seconds(seconds: float) -> float:
    """Return a duration, or 0 if it is NaN, infinite or negative."""
    return seconds if math.isfinite(seconds) and seconds > 0 else 0.0


_PICO = 1e12


def total_cost(costs: Iterable[float | None]) -> float | None:
    """Return the sum of the known costs in USD; None if none is known.

    It is a sum of whole pico-dollars, and so the same in any order and over any partial sums.
    """
    known = [cost for cost in costs if cost is not None]
    if not all(math.isfinite(cost * _PICO) for cost in known):
        return sum(known)
    return sum(round(cost * _PICO) for cost in known) / _PICO if known else None


Status = Literal["ok", "error", "timeout", "killed", "oom"]


class Execution(msgspec.Struct, frozen=True):
    """The result of a cell.

    `output` is what it wrote to stdout, bounded by the sandbox. `status` is ``ok``; ``error`` (an
    exception); ``timeout`` (stopped by the time limit); ``killed`` or ``oom`` (the interpreter is
    gone). `state_lost` says that the next cell starts in a fresh namespace; the output then ends
    with a notice of that. `solved` says that the world which the task's tools act on reports the
    task as solved: the driver asks that world itself, and nothing that a sandbox sends decides it.
    """

    output: str
    status: Status = "ok"
    seconds: float = 0.0
    state_lost: bool = False
    solved: bool = False


class Verdict(msgspec.Struct, frozen=True):
    """A grader's decision; `detail` is for people and never shown to the policy."""

    correct: bool
    detail: str = ""
    seconds: float = 0.0


class Failure(msgspec.Struct, frozen=True):
    """The effect could not be performed.

    `out_of_time` says that the episode reached its own limit on wall time. `final` says that it
    would fail in the same way if it were played again at once. `usage` and `cost` belong to a
    message of the policy that was not acted on.
    """

    cause: Cause
    message: str
    seconds: float = 0.0
    out_of_time: bool = False
    final: bool = False
    usage: Usage = Usage()
    cost: float | None = None


Result = Completion | Execution | Verdict | Failure


ActionKind = Literal["execute", "propose", "invalid"]


class ActionRecord(msgspec.Struct, kw_only=True):
    """One of several actions of a turn, and its result, as recorded."""

    action: ActionKind
    content: str
    observation: str = ""
    status: Status | None = None
    correct: bool | None = None
    detail: str = ""
    tool_call_id: str | None = None


class Turn(msgspec.Struct, kw_only=True):
    """One turn as recorded: the action, its result, and its cost in seconds and tokens.

    A turn with several actions has them in `actions`. It is itself a proposal if one of them is,
    else a cell if one is; `content` and `observation` are those of all, line after line.
    """

    action: ActionKind
    content: str
    """The code or the answer; empty when nothing could be parsed."""
    message: int | None = None
    """The place of the policy's message among the record's; None in records of version 1."""
    text: str | None = None
    """What the policy wrote, where its message does not give that (`protocol.policy_text`)."""
    actions: tuple[ActionRecord, ...] = ()
    observation: str = ""
    status: Status | None = None
    correct: bool | None = None
    detail: str = ""
    feedback: str | None = None
    usage: Usage = Usage()
    counted: Usage | None = None
    """Our own count of the request's ids and the answer's; None where the server shows none."""
    feedback_usage: Usage = Usage()
    seconds: dict[str, float] = {}
    """By effect: ``model``, ``sandbox``, ``grader``, ``feedback``."""
    retries: tuple[str, ...] = ()
    cost: float | None = None
    feedback_cost: float | None = None
    reused: bool | int = False
    """Whether the policy's answer came from the response cache. Older records hold how many of the
    turn's answers did; they are read as what that number means."""
    feedback_reused: bool = False
    """Whether the feedback came from the response cache."""
    leaks: tuple[str, ...] | None = None
    """What the feedback gives away of the answer (`codeact.episode.leaks`); None where that was not
    looked at: without feedback, and in older and imported records."""
    asked_again: int = 0
    """How often the feedback was asked for anew; its tokens and costs are those of all requests."""
    restored: bool = False
    """Whether the turn is that of a recorded episode, played again; its tokens were spent then."""
    author: Author = "model"
    """Who wrote the message that was acted on."""
    original: str | None = None
    """What the model wrote, where a person edited it."""
    cut: bool = False
    """Whether the model wrote on after a stop string, and what followed was left out here."""

    def __post_init__(self) -> None:
        if type(self.reused) is not bool:
            # Feedback is looked up by what the policy wrote, so a single hit was the policy's.
            self.feedback_reused = self.feedback_reused or self.reused > 1
            self.reused = self.reused > 0

    @property
    def fresh(self) -> Usage:
        """Policy tokens that the turn really took; none for a reused completion."""
        return Usage() if self.reused else self.usage

    @property
    def fresh_feedback(self) -> Usage:
        """Feedback tokens that the turn really took; none for reused feedback."""
        return Usage() if self.feedback_reused else self.feedback_usage


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How an episode ended. `cause` and `error` are set if a failure ended it.

    A `final` failure is not played again within the same session.
    """

    success: bool
    terminate_reason: Literal[
        "task_success", "max_propose_steps", "max_steps", "max_tokens", "max_seconds", "error"
    ]
    cause: Cause | None = None
    error: str = ""
    final: bool = False


class Counts(msgspec.Struct):
    """The protocol's action counters; steps used are their sum."""

    propose_solution: int = 0
    use_tool: int = 0
    invalid_action: int = 0

    @property
    def steps(self) -> int:
        return self.propose_solution + self.use_tool + self.invalid_action
