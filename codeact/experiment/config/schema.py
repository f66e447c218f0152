"""The schema of every command's configuration: composed YAML is validated against it once."""

import hashlib
from typing import Annotated, Any, ClassVar, Literal, Self

import msgspec
from pydantic import ConfigDict, Field, field_validator, model_validator

from codeact.episode.settings import (
    EpisodeSettings,
    FeedbackSettings,
    LimitSettings,
    Settings,
    TurnSettings,
)
from codeact.experiment.budget import BudgetSettings
from codeact.experiment.config.compute import ComputeSettings, RayCompute
from codeact.experiment.config.prompts import DIRECT_PROMPT, PromptSettings
from codeact.experiment.config.tasks import Missing, TaskSettings
from codeact.experiment.config.trackers import AnyTrackers
from codeact.graders.base import Mode
from codeact.models.person.settings import PersonSettings
from codeact.models.registry import AnyModelSettings
from codeact.sandboxes.settings import (
    MOST_SLOTS,
    DockerSettings,
    ImageSettings,
    LocalSettings,
)
from codeact.tools import AlfworldSettings, SearchSettings, Success

ExecutorSettings = Annotated[LocalSettings | DockerSettings, Field(discriminator="kind")]

_SESSIONS_PER_EPISODE = 3


class GradingSettings(Settings):
    """Published verdicts with their quirks (``mint``), or what a verdict should mean."""

    mode: Mode
    """`strict` is what a verdict should mean; `mint` is the published verdicts with their
    quirks."""


class FeedbackConfig(FeedbackSettings):
    """Feedback, and the model that gives it (config group ``model@feedback.model``)."""

    model: AnyModelSettings | None
    """The model that gives the feedback (config group `model@feedback.model`)."""

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
        return f"{self.model.name}/{self.published_kind}"


class GradedSettings(Settings):
    """What grading a task needs, whichever command asks for it."""

    data: str
    """The folder of the task files."""
    task: TaskSettings
    """The task files."""
    missing: Missing = "refuse"
    """A data set whose file is missing: `refuse` the command, or `skip` it and say so."""
    limit: int | None = Field(ge=1)
    """Take the first n tasks of each data set; null takes all."""
    total_limit: int | None = Field(default=None, ge=1)
    """Take at most n tasks in all, evenly: the first of each data set, then the second of each,
    and so on; null takes all."""
    grading: GradingSettings
    """How answers are graded."""
    executor: ExecutorSettings
    """Where code runs."""
    compute: ComputeSettings
    """How many episodes are played at once, and where."""

    @model_validator(mode="after")
    def _slots_suffice(self) -> Self:
        """An episode holds one session and its grader up to two, and none gives its own up."""
        at_once = self.compute.for_each_worker
        needed = _SESSIONS_PER_EPISODE * at_once
        told = f"{at_once} episodes at once (compute.concurrency)"
        told += f" of up to {_SESSIONS_PER_EPISODE} sessions"
        if needed > MOST_SLOTS:
            raise ValueError(
                f"{told} are more than the {MOST_SLOTS} sessions that one sandbox holds: lower "
                "compute.concurrency, or spread it over compute=ray compute.workers=N"
            )
        if self.executor.slots is None:
            executor = self.executor.model_copy(update={"slots": needed})
            return self.model_copy(update={"executor": executor})
        if self.executor.slots < needed:
            raise ValueError(
                f"executor.slots={self.executor.slots} is too few for {told}: give "
                f"executor.slots={needed}, or null"
            )
        return self


class ToolSettings(GradedSettings):
    """What opening a task's tools needs."""

    alfworld: AlfworldSettings = Field(default_factory=AlfworldSettings)
    """The games of ALFWorld: their bounds, and how many are loaded ahead."""

    @property
    def success(self) -> Success:
        """When a world that tools act on counts as solved."""
        return "published" if self.grading.mode == "mint" else "goal"


class ValidateConfig(ToolSettings):
    """``codeact validate``."""

    out: str | None = None
    """Where every task that fails, or has no known answer, is written, one JSON object a line."""
    formats: list[str]
    """Action formats in which tasks with a walkthrough, such as those of toolbench, are solved by
    it; an empty list is none."""
    attacks: list[Mode] = Field(default_factory=lambda: list[Mode](("strict", "mint")))
    """The grading modes in which answers that solve nothing are tried on every task, as far as a
    family has them."""
    attacks_out: str | None = None
    """Where the table of attacks, and every one that passes, is written as JSON."""

    @field_validator("attacks")
    @classmethod
    def _each_mode_once(cls, value: list[Mode]) -> list[Mode]:
        return list(dict.fromkeys(value))


class PlaySettings(ToolSettings):
    """What playing episodes needs in addition to a policy."""

    prompt: PromptSettings
    """How tasks and observations are put into words."""
    search: SearchSettings
    """What `wikipedia_search` answers from."""


class RunConfig(PlaySettings):
    """``codeact run``."""

    model_config = ConfigDict(serialize_by_alias=True)

    incidental: ClassVar[frozenset[str]] = frozenset(
        {
            "data",
            "task",
            "missing",
            "limit",
            "total_limit",
            "compute",
            "alfworld",
            "run_dir",
            "samples",
            "shuffle",
            "budget",
            "cache",
            "tracker",
            "dry_run",
            "step",
            "progress_seconds",
            "full_disk_seconds",
            "max_consecutive_failures",
        }
    )

    model: AnyModelSettings
    """Who plays."""
    turns: TurnSettings
    """How often the policy may act."""
    limits: LimitSettings
    """Bounds of one episode other than its turns."""
    feedback: FeedbackConfig
    """Whether a second model comments on each turn."""
    continue_: str | None = Field(default=None, alias="continue")
    """Recorded episodes that are continued in place of new ones: a run folder, a `results.jsonl`,
    or a tree of either. Their cells run again, and what is recorded is not paid for again."""
    turn: int | None = Field(default=None, ge=0)
    """How many recorded turns are restored before the policy goes on; null restores all."""
    samples: int = Field(ge=1)
    """Episodes of each task, or continuations of each recorded one; sample i is played with
    seed + i."""
    seed: int | None
    """The seed of the first sample; null sends none."""
    run_dir: str
    """The run folder; one that exists is resumed. A sweep has a folder in it for each of its
    runs."""
    dry_run: bool
    """Print the configuration, the number of episodes and the first prompt, and stop."""
    step: bool = False
    """Stop at each message of the policy, before it is acted on: a person at this terminal lets it
    pass, edits it or ends the episode."""
    shuffle: bool
    """Hand episodes out in an order drawn from `seed` instead of the files' own."""
    budget: BudgetSettings
    """Bounds on the whole run."""
    cache: str | None
    """The folder of the response cache; None asks the model every time."""
    tracker: AnyTrackers
    """Who else is told of results: one tracker, or several by name (`tracker=[A,B]`)."""
    progress_seconds: float = Field(gt=0)
    """How often a line is printed where the output is no terminal."""
    full_disk_seconds: float = Field(ge=0)
    """How long a full disk is waited for before the run ends."""
    max_consecutive_failures: int | None = Field(default=20, ge=1)
    """How many episodes may fail with one cause, none succeeding between, before the run tries
    what has failed, and ends if that does not work; None never ends a run."""

    @model_validator(mode="after")
    def _dollars_can_be_counted(self) -> Self:
        models = {"model": self.model, "feedback.model": self.feedback.model}
        without = [key for key, model in models.items() if model and model.prices is None]
        if self.budget.usd is not None and without:
            raise ValueError(
                f"budget.usd needs prices to count with: give {without[0]}.prices.prompt and "
                f"{without[0]}.prices.completion, in USD per million tokens"
            )
        return self

    @model_validator(mode="after")
    def _tokens_are_the_policys(self) -> Self:
        if getattr(self.feedback.model, "tokens", None) is not None:
            raise ValueError("feedback.model.tokens: only the policy's are recorded; leave it null")
        return self

    @model_validator(mode="after")
    def _a_turn_is_of_a_recording(self) -> Self:
        if self.turn is not None and self.continue_ is None:
            raise ValueError(
                f"turn={self.turn} says how much of a recorded episode is restored, and there is "
                "none: give continue=SOURCE too"
            )
        return self

    @model_validator(mode="after")
    def _direct_is_one_message(self) -> Self:
        if self.prompt.strategy != DIRECT_PROMPT:
            return self
        once = {"max_steps": 1, "max_propose_solution": 1, "use_tools": False}
        return self.model_copy(update={"turns": self.turns.model_copy(update=once)})

    @model_validator(mode="after")
    def _a_person_sees_one_episode(self) -> Self:
        if self.person is None:
            return self
        if isinstance(self.compute, RayCompute):
            keys = {
                "step=true": self.step,
                "model=person": isinstance(self.model, PersonSettings),
                "model@feedback.model=person": True,
            }
            asked = next(key for key, is_so in keys.items() if is_so)
            raise ValueError(  # noqa: TRY004 (what pydantic takes)
                f"{asked} asks a person at this terminal, and compute=ray plays episodes "
                "elsewhere: give compute=local"
            )
        compute = self.compute.model_copy(update={"concurrency": 1})
        return self.model_copy(update={"compute": compute})

    @property
    def person(self) -> Literal["policy", "user", "editor"] | None:
        """What a person at the terminal is in the run's episodes; None if no person is asked."""
        if isinstance(self.model, PersonSettings):
            return "policy"
        if self.step:
            return "editor"
        critic = self.feedback.model if self.feedback.kind != "none" else None
        return "user" if isinstance(critic, PersonSettings) else None

    def identity(self) -> dict[str, Any]:
        """Return what two runs of the same experiment have in common.

        A run that continues nothing is what it was before there were continuations.
        """
        found = super().identity()
        source, turn = found.pop("continue_"), found.pop("turn")
        return found if source is None else {**found, "continue": source, "turn": turn}

    @property
    def episode(self) -> EpisodeSettings:
        """The part that the state machine sees."""
        names = FeedbackSettings.model_fields
        feedback = FeedbackSettings(**{name: getattr(self.feedback, name) for name in names})
        return EpisodeSettings(turns=self.turns, limits=self.limits, feedback=feedback)

    @property
    def digest(self) -> str:
        """16 hex digits over all that decides what an episode of this run is."""
        return digest_of(self.identity())


class ReplayConfig(PlaySettings):
    """``codeact replay``; turns and feedback come from the recording."""

    source: str
    """A run folder, a `results.jsonl`, or a tree of either."""
    limit: int | None = Field(ge=1)
    """Take the first n episodes of each recorded file; null takes all."""
    total_limit: int | None = Field(default=None, ge=1)
    """Take the first n episodes of all recorded files together; null takes all."""
    out: str | None
    """Where every difference is written, one JSON object a line."""
    filter: str
    """Glob over the recorded paths."""


class RegradeConfig(GradedSettings):
    """``codeact regrade``."""

    source: str
    """A run folder, a `results.jsonl`, or a tree of either."""
    against: str = Field(pattern="^(recorded|mint|strict)$")
    """What the new verdicts are compared with: the recorded ones, or those of another mode."""
    filter: str
    """A glob over the recorded paths."""
    out: str | None
    """Where every disagreement is written, one JSON object a line."""


class SandboxConfig(Settings):
    """``codeact sandbox``. `concurrency` is how many sessions ``exec`` runs side by side."""

    executor: ExecutorSettings
    """Which sandbox."""
    image: ImageSettings
    """What `sandbox build` builds."""
    cells: str | None
    """The JSONL file of cells for `sandbox exec`."""
    concurrency: int = Field(ge=1)
    """How many sessions `sandbox exec` runs side by side."""


def digest_of(value: Any) -> str:
    """16 hex digits over JSON-able data, whatever the order of its keys."""
    canonical = msgspec.json.encode(value, order="deterministic")
    return hashlib.sha256(canonical).hexdigest()[:16]
