"""A model that replays recorded episodes, as the policy or as the feedback model."""

from collections.abc import Collection, Sequence
from typing import Literal

import msgspec

from codeact.episode.effects import Completion, Outcome, Usage
from codeact.episode.messages import Answer
from codeact.episode.record import EDITED
from codeact.exceptions import ModelFailure, ProviderFailure, RecordingError
from codeact.models.base import EpisodeKey, ModelSettings, Request, Role
from codeact.recordings.episodes import RecordedEpisode, Selection, read_recordings
from codeact.resources import resolve_path

_NAMED = 5
"""How many of the missing episodes a message names."""


class RecordedSettings(ModelSettings):
    """Where the recordings are, and which of them are meant where the source holds several.

    `source` is a run folder, a ``results.jsonl`` or ``episodes.jsonl`` (also ``.gz``), or a tree
    of them; ``pkg://package/path`` is one that an installed package ships. `recorded_feedback` is
    ``none`` or as in ``gpt-4-0613/no_GT-textual``.
    """

    incidental = ModelSettings.incidental | {"source"}

    kind: Literal["recorded"]
    """Recorded answers in place of a model."""
    name: str = "recorded"
    """The model's name in records and tables."""
    source: str
    """A run folder, a `results.jsonl` or `episodes.jsonl` (also `.gz`), or a tree of them;
    `pkg://package/path` is one that a package ships."""
    recorded_model: str | None = None
    """Which model's recordings, where the source holds several."""
    recorded_feedback: str | None = None
    """Which feedback's: `none`, or as in `gpt-4-0613/no_GT-textual`."""
    recorded_turns: str | None = None
    """Which turn setting's, as in `max5_p2+tool+cd`."""

    def create(self) -> "RecordedModel":
        return RecordedModel(self)


class _Answers(msgspec.Struct, frozen=True, gc=False):
    """What is kept of one recorded episode."""

    identity: tuple[str, ...]
    policy: tuple[Answer, ...]
    feedback: tuple[str | None, ...]
    usage: tuple[tuple[Usage, Usage], ...]
    outcome: Outcome


class RecordedModel:
    """Finds completions by episode and turn.

    Raises `RecordingError` when the source cannot be read, or holds two recordings of one episode
    that the settings do not tell apart.
    """

    plain = False

    def __init__(self, settings: RecordedSettings) -> None:
        self._settings = settings
        self._answers: dict[EpisodeKey, _Answers] = {}
        selection = Selection(
            model=settings.recorded_model,
            feedback=settings.recorded_feedback,
            turn_setting=settings.recorded_turns,
        )
        for episode in read_recordings(resolve_path(settings.source), selection):
            self._keep(episode)

    def _keep(self, episode: RecordedEpisode) -> None:
        key = EpisodeKey(episode.task_name, episode.task_id, episode.sample)
        answers = _answers(episode)
        earlier = self._answers.get(key)
        if earlier is not None and earlier.identity != answers.identity:
            raise RecordingError(
                f"{self._settings.source}: {_name(key)} was recorded more than once: with "
                f"{', '.join(earlier.identity)}; and with {', '.join(answers.identity)}. Choose "
                "by these names, or name a narrower source"
            )
        # A resumed run has an episode twice if its first outcome did not count.
        self._answers[key] = answers

    def __len__(self) -> int:
        return len(self._answers)

    async def check(self, episodes: Collection[EpisodeKey] = (), role: Role = "policy") -> None:
        """Every one of `episodes` must have been recorded, with feedback if that is the role."""
        if missing := [key for key in episodes if key not in self._answers]:
            raise RecordingError(self._missing(missing, len(episodes)))
        if role == "feedback" and not self._has_feedback(episodes):
            raise RecordingError(
                f"{self._settings.source}: these recordings hold no feedback; choose some that "
                "do (recorded_feedback), another feedback model, or feedback=none"
            )

    def _has_feedback(self, episodes: Collection[EpisodeKey]) -> bool:
        chosen = [self._answers[key] for key in episodes] or list(self._answers.values())
        return any(text is not None for answers in chosen for text in answers.feedback)

    def _missing(self, missing: list[EpisodeKey], total: int) -> str:
        some = ", ".join(_name(key) for key in missing[:_NAMED])
        more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
        held = ", ".join(sorted({key.task_name for key in self._answers})) or "nothing"
        return (
            f"{self._settings.source}: {len(missing)} of {total} episodes were not recorded: "
            f"{some}{more}. Recorded tasks: {held}"
        )

    async def complete(self, request: Request) -> Completion:
        answers = self._answers.get(request.episode)
        if answers is None:
            raise ProviderFailure(self._missing([request.episode], 1))
        texts = answers.policy if request.role == "policy" else answers.feedback
        found = texts[request.turn] if request.turn < len(texts) else None
        if found is None:
            raise self._no_answer(request, answers)
        given = answers.usage[request.turn] if request.turn < len(answers.usage) else None
        usage = given[request.role == "feedback"] if given else Usage()
        if isinstance(found, str):
            return Completion(text=found, usage=usage)
        return Completion(**msgspec.structs.asdict(found), usage=usage)

    def _no_answer(self, request: Request, answers: _Answers) -> ModelFailure | ProviderFailure:
        outcome, turns = answers.outcome, len(answers.policy)
        ended = f"{_name(request.episode)} was recorded for {turns} turns"
        if request.role == "policy" and outcome.cause == "model" and request.turn == turns:
            return ModelFailure(f"{ended}, then the model failed: {outcome.error}")
        what = "answer" if request.role == "policy" else "feedback"
        why = f" ({outcome.error})" if outcome.error else ""
        return ProviderFailure(
            f"{ended} and ended in {outcome.terminate_reason}{why}: no recorded {what} for "
            f"turn {request.turn + 1}"
        )

    async def close(self) -> None:
        """Forget the recordings."""
        self._answers.clear()


def _answers(episode: RecordedEpisode) -> _Answers:
    record = episode.record
    policy = tuple(turn.answer for turn in episode.turns)
    feedback = tuple(
        turn.environment.feedback if turn.environment else None for turn in episode.turns
    )
    return _Answers(
        identity=(
            # Of a run, an episode that a person edited and another try of it are one.
            f"recorded_model={episode.model.removesuffix(EDITED)}",
            f"recorded_feedback={episode.feedback}",
            f"recorded_turns={episode.turn_setting}",
            f"settings {record.settings_digest}" if record else f"split '{episode.split}'",
        ),
        policy=policy,
        feedback=feedback,
        usage=_usage(episode, policy, feedback),
        outcome=episode.outcome,
    )


def _usage(
    episode: RecordedEpisode, policy: Sequence[Answer], feedback: Sequence[str | None]
) -> tuple[tuple[Usage, Usage], ...]:
    """Return the tokens of policy and feedback by turn.

    Published recordings know those of the whole episode alone: the last text of each has them all.
    """
    record, tokens = episode.record, episode.tokens
    by_turn = tuple((turn.usage, turn.feedback_usage) for turn in record.turns) if record else ()
    if any(one.total for pair in by_turn for one in pair):
        return by_turn
    whole = Usage(tokens.prompt_tokens, tokens.completion_tokens)
    commented = Usage(tokens.feedback_prompt_tokens, tokens.feedback_completion_tokens)
    last = max((turn for turn, text in enumerate(feedback) if text is not None), default=-1)
    return tuple(
        (
            whole if turn == len(policy) - 1 else Usage(),
            commented if turn == last else Usage(),
        )
        for turn in range(len(policy))
    )


def _name(key: EpisodeKey) -> str:
    sample = f" (sample {key.sample})" if key.sample else ""
    return f"{key.task_name}/{key.task_id}{sample}"
