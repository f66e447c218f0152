"""The schema of every command's configuration: composed YAML is validated against it once."""

import hashlib
from typing import Annotated, Any, ClassVar, Self

import msgspec
from pydantic import Field, field_validator, model_validator

from codeact.edge.graders.base import Mode
from codeact.edge.models.factory import AnyModelSettings
from codeact.edge.sandboxes.image import ImageSettings
from codeact.edge.sandboxes.settings import DockerSettings, LocalSettings
from codeact.edge.tools import SearchSettings
from codeact.episode.settings import (
    EpisodeSettings,
    FeedbackSettings,
    LimitSettings,
    Settings,
    TurnSettings,
)

ExecutorSettings = Annotated[LocalSettings | DockerSettings, Field(discriminator="kind")]

_SESSIONS_PER_EPISODE = 3


class TaskSet(Settings):
    """One task file: `family` says how to read and grade it.

    `path` may be ``pkg://package/file`` for a file that a package ships. `limit` takes the first n
    tasks, `ids` only those named.
    """

    path: str
    family: str
    limit: int | None = Field(default=None, ge=1)
    ids: list[str] | None = None


class TaskSettings(Settings):
    """The task files of a run, by the name that records carry."""

    sets: dict[str, TaskSet] = Field(min_length=1)


class PromptSettings(Settings):
    """Which prompt strategy; ours is ``code``, plug-ins add theirs."""

    strategy: str


class GradingSettings(Settings):
    """Published verdicts with their quirks (``mint``), or what a verdict should mean."""

    mode: Mode


class FeedbackConfig(FeedbackSettings):
    """Feedback, and the model that gives it (config group ``model@feedback.model``)."""

    model: AnyModelSettings | None

    @field_validator("model", mode="before")
    @classmethod
    def _none_is_none(cls, value: Any) -> Any:
        return None if value == {"kind": "none"} else value

    @model_validator(mode="after")
    def _has_model(self) -> Self:
        if self.kind != "none" and self.model is None:
            raise ValueError(
                "feedback needs a feedback model: choose one with model@feedback.model=OPTION "
                "(openai, recorded, ...) or take feedback=none"
            )
        return self

    @property
    def label(self) -> str:
        """``none``, or the model and the kind in the published form."""
        if self.kind == "none" or self.model is None:
            return "none"
        return f"{self.model.name}/{'GT' if self.ground_truth else 'no_GT'}-{self.kind}"


class ComputeSettings(Settings):
    """Where episodes run. `concurrency` is how many are played at once."""

    kind: str = Field(default="local", pattern="^local$")
    concurrency: int = Field(ge=1, le=10_000)


class GradedSettings(Settings):
    """What grading a task needs, whichever command asks for it."""

    data: str
    """The folder of the task files."""
    task: TaskSettings
    limit: int | None = Field(ge=1)
    """Take the first n tasks of each set; None takes all."""
    grading: GradingSettings
    executor: ExecutorSettings
    compute: ComputeSettings

    @model_validator(mode="after")
    def _slots_suffice(self) -> Self:
        """An episode holds one session and its grader up to two, and none gives its own up."""
        needed = _SESSIONS_PER_EPISODE * self.compute.concurrency
        if self.executor.slots < needed:
            raise ValueError(
                f"executor.slots={self.executor.slots} is too few for "
                f"compute.concurrency={self.compute.concurrency} episodes of up to "
                f"{_SESSIONS_PER_EPISODE} sessions: give executor.slots={needed}"
            )
        return self


class ValidateConfig(GradedSettings):
    """``codeact validate``."""


class PlaySettings(GradedSettings):
    """What playing episodes needs besides a policy."""

    prompt: PromptSettings
    search: SearchSettings


class RunConfig(PlaySettings):
    """``codeact run``."""

    incidental: ClassVar[frozenset[str]] = frozenset(
        {
            "data",
            "task",
            "limit",
            "compute",
            "run_dir",
            "samples",
            "dry_run",
            "progress_seconds",
        }
    )

    model: AnyModelSettings
    turns: TurnSettings
    limits: LimitSettings
    feedback: FeedbackConfig
    samples: int = Field(ge=1)
    seed: int | None
    run_dir: str
    dry_run: bool
    progress_seconds: float = Field(gt=0)
    """How often a line is printed where the output is no terminal."""

    @property
    def episode(self) -> EpisodeSettings:
        """The part that the state machine sees."""
        feedback = FeedbackSettings(
            kind=self.feedback.kind, ground_truth=self.feedback.ground_truth
        )
        return EpisodeSettings(turns=self.turns, limits=self.limits, feedback=feedback)

    @property
    def digest(self) -> str:
        """16 hex digits over all that decides what an episode of this run is."""
        return digest_of(self.identity())


class ReplayConfig(PlaySettings):
    """``codeact replay``; turns and feedback come from the recording."""

    source: str
    out: str | None
    """Where every difference is written, one JSON object a line."""
    filter: str
    """Glob over the recorded paths."""


class RegradeConfig(GradedSettings):
    """``codeact regrade``."""

    source: str
    against: str = Field(pattern="^(recorded|mint|strict)$")
    filter: str
    out: str | None


class SandboxConfig(Settings):
    """``codeact sandbox``. `concurrency` is how many sessions ``exec`` runs side by side."""

    executor: ExecutorSettings
    image: ImageSettings
    cells: str | None
    concurrency: int = Field(ge=1)


def digest_of(value: Any) -> str:
    """16 hex digits over JSON-able data, whatever the order of its keys."""
    canonical = msgspec.json.encode(value, order="deterministic")
    return hashlib.sha256(canonical).hexdigest()[:16]
