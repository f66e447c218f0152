"""Restores the recorded turns with which an episode begins, in the live environment.

The policy's messages and the feedback are the recorded ones. Cells run again in the sandbox and
proposals are graded again, and the results must be those recorded. Then the
conversation goes on from the recorded words: an address or a time in them is not replaced.
"""

import re
from collections import Counter

import msgspec

from codeact.episode.effects import Completion, Execution, RestoredTurn, Verdict
from codeact.episode.messages import Message
from codeact.episode.protocol import render_execution
from codeact.episode.record import EpisodeOrigin, PrefixDifference
from codeact.exceptions import EpisodeFailure, GraderFailure, SandboxFailure, ToolFailure
from codeact.experiment.comparing import (
    DIFFERENT,
    OUTSIDE,
    RANDOM,
    STATE_DIFFERS,
    classify,
)
from codeact.recordings.transcript import RecordedTurn

CLOCK = "clock"
VERDICT = "verdict"
_READS_CLOCK = re.compile(
    r"\b(?:perf_counter|monotonic|process_time|timeit|utcnow|today)|\btime\(\)|\bnow\(|%time"
)
_DRAWS = re.compile(r"\brandom|\bsecrets\b|\buuid")
_MEASURE = re.compile(r"\d+(?:\.\d*)?(?:e[-+]?\d+)?\s*(?:ns|[µμu]s|ms|s|min|h)?\b")
_SHOWN = 200


class Prefix(msgspec.Struct, frozen=True):
    """The turns of a recorded episode that are restored, at least none.

    `opening` is the recorded one, where it fits this run's turn setting. Recordings that number the
    first cell ``[2]`` are `primed`: a hidden cell ran before it.
    """

    origin: EpisodeOrigin
    turns: tuple[RecordedTurn, ...]
    opening: tuple[Message, ...] | None = None
    primed: bool = False


class Restoration:
    """Restores one episode's prefix; `origin` is what its record says about that."""

    def __init__(self, prefix: Prefix, tools: tuple[str, ...]) -> None:
        self.origin = prefix.origin
        self._turns = prefix.turns
        self._cells: Counter[int] = Counter()
        self._code = ""
        self._tools = re.compile("|".join(map(re.escape, tools))) if tools else None

    def completion(self, turn: int) -> Completion | None:
        """Return the policy's recorded message, None for a turn after the prefix.

        It costs nothing: its tokens were spent when it was recorded.
        """
        return restored_completion(self._turns[turn]) if turn < len(self._turns) else None

    def check_execution(self, turn: int, code: str, live: Execution) -> None:
        """Compare what a cell of the prefix gave; raises `SandboxFailure` or `ToolFailure`."""
        recorded = self._recorded(turn)
        self._cells[turn] += 1
        if recorded is None:
            return
        shown = render_execution(live.output, state_lost=live.state_lost)
        self._code += f"{code}\n"
        kind = kind_of_difference(self._code, recorded, shown)
        if kind in _HARMFUL:
            outside = OUTSIDE.search(code) or (self._tools and self._tools.search(code))
            failure = ToolFailure if outside else SandboxFailure
            raise self._differs(failure, turn, kind, recorded, shown)

    def check_grade(self, turn: int, verdict: Verdict) -> None:
        """Compare a verdict: the recorded episode went on, so the answer was wrong.

        Raises `GraderFailure`.
        """
        if verdict.correct and turn < len(self._turns):
            raise self._differs(GraderFailure, turn, VERDICT, "wrong", "right")

    def _recorded(self, turn: int) -> str | None:
        """Return the recorded observation of the turn's next cell."""
        if turn >= len(self._turns):
            return None
        rest = self._turns[turn].observations[self._cells[turn] :]
        return rest[0] if rest else None

    def _differs(
        self, failure: type[EpisodeFailure], turn: int, kind: str, recorded: str, live: str
    ) -> EpisodeFailure:
        difference = PrefixDifference(turn=turn + 1, kind=kind, recorded=recorded, live=live)
        self.origin = msgspec.structs.replace(self.origin, difference=difference)
        return failure(
            f"{self.origin.place}: turn {turn + 1} cannot be restored ({kind}): recorded "
            f"{_short(recorded)}, now {_short(live)}",
            final=True,
        )


_HARMFUL = frozenset({DIFFERENT, RANDOM, *STATE_DIFFERS})
"""What leaves another state behind than the recorded one, or may."""


def kind_of_difference(code: str, recorded: str, live: str) -> str:
    """Name the difference between two observations, knowing the `code` that has run by then.

    ``clock`` is a difference in nothing but numbers, after code that reads the clock.
    """
    kind = classify(recorded, live)
    if kind == DIFFERENT and _DRAWS.search(code):
        return RANDOM
    if kind == DIFFERENT and _READS_CLOCK.search(code):
        texts = (_MEASURE.sub("#", text) for text in (recorded, live))
        return CLOCK if len({*texts}) == 1 else DIFFERENT
    return kind


def restored_completion(turn: RecordedTurn) -> Completion:
    """Return the policy's message of a recorded turn, with what its environment said."""
    said = RestoredTurn(turn.observations, turn.environment.feedback if turn.environment else None)
    fields = msgspec.structs.asdict(turn.answer)
    return Completion(**fields, restored=said)


def _short(text: str) -> str:
    shown = repr(text)
    return shown if len(shown) <= _SHOWN else f"{shown[: _SHOWN // 2]} … {shown[-_SHOWN // 2 :]}"
