"""The settings of an episode, each validated alone and against the others."""

from typing import Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Settings(BaseModel):
    """Base class of all configuration: frozen, with strict names and types."""

    # A command uses few of the schemas that it imports; each is built when something is validated.
    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, validate_default=True, defer_build=True
    )

    incidental: ClassVar[frozenset[str]] = frozenset()
    """Fields that change how a run is carried out, not what it measures (an address, a time-out).
    """

    def identity(self) -> dict[str, Any]:
        """Return what two runs of the same experiment have in common."""
        fields = {name: getattr(self, name) for name in type(self).model_fields}
        return {
            name: value.identity() if isinstance(value, Settings) else value
            for name, value in fields.items()
            if name not in self.incidental
        }


class TurnSettings(Settings):
    """How often the policy may act (docs/protocol.md, "Turn settings")."""

    max_steps: int = Field(ge=1, le=1000)
    """The most turns of an episode."""
    max_propose_solution: int = Field(ge=1)
    """The most answers that the policy may propose."""
    use_tools: bool = True
    """Whether the policy may run code."""
    count_down: bool = True
    """Whether each observation says how many turns and proposals are left."""

    @model_validator(mode="after")
    def _proposals_fit(self) -> Self:
        if self.max_propose_solution > self.max_steps:
            raise ValueError(
                f"max_propose_solution={self.max_propose_solution} is more than "
                f"max_steps={self.max_steps}: a proposal is a step, so lower it or raise max_steps"
            )
        return self

    @property
    def name(self) -> str:
        """The published name of the setting, such as ``max5_p2+tool+cd``."""
        tool = "+tool" if self.use_tools else ""
        countdown = "+cd" if self.count_down else ""
        return f"max{self.max_steps}_p{self.max_propose_solution}{tool}{countdown}"


class LimitSettings(Settings):
    """Bounds of one episode other than its turns; None is no bound."""

    max_tokens: int | None = Field(default=None, ge=1)
    """Policy tokens, prompt and completion, over the whole episode."""
    max_seconds: float | None = Field(default=None, gt=0)
    """Wall time of the whole episode, in seconds."""


FeedbackKind = Literal["none", "textual", "binary", "textual_sparse"]


class FeedbackSettings(Settings):
    """Whether a second model comments on each turn, and whether it knows the solution."""

    kind: FeedbackKind = "none"
    """`none`; `textual`: a comment in words; `binary`: only whether the turn is good or bad;
    `textual_sparse`: a comment on proposals alone."""
    ground_truth: bool = False
    """Whether the feedback model knows the reference."""
    ask_again: int = Field(default=0, ge=0, le=10)
    """How often, at most, a comment that gives the answer away is asked for anew; 0 flags it."""

    @property
    def published_kind(self) -> str:
        """The published name of the kind, such as ``no_GT-textual``."""
        truth = "GT" if self.ground_truth else "no_GT"
        return f"{truth}-{self.kind.replace('_', '-')}"

    def identity(self) -> dict[str, Any]:
        identity = super().identity()
        if not self.ask_again:
            del identity["ask_again"]  # runs from before there was this key stay the same
        return identity


class EpisodeSettings(Settings):
    """All that the state machine needs to know."""

    turns: TurnSettings
    limits: LimitSettings = Field(default_factory=LimitSettings)
    feedback: FeedbackSettings = Field(default_factory=FeedbackSettings)
