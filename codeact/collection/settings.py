"""What a user chooses: the rules of tiers, selection and conversion, and the two commands."""

from typing import Literal

from pydantic import Field, field_validator

from codeact.collection.filters import FILTERS
from codeact.episode.settings import Settings
from codeact.experiment.config.schema import TaskSettings
from codeact.wording import nearest


class Replacement(Settings):
    """A text of the instruction, and what stands there in a conversation."""

    old: str = Field(min_length=1)
    new: str


class ConversionSettings(Settings):
    """How a trajectory becomes a conversation (postprocess.md, rules 13 to 16).

    Published `ids` name task, model and turn setting only, so they repeat where a model was
    recorded with several kinds of feedback. The speaker's label ``Assistant:`` is deleted from
    what the model wrote, `everywhere` or only `outside_code`; at the beginning it always is.
    `thoughts` lose the tags around them in ``pairs`` only, or are ``untagged`` altogether. What the
    model said `after_action`, and the environment did not answer, is kept or cut.
    """

    ids: Literal["published", "unique"]
    instruction: list[Replacement]
    label: Literal["everywhere", "outside_code"]
    thoughts: Literal["pairs", "untagged"] = "pairs"
    after_action: Literal["keep", "cut"] = "keep"


class BoundsSettings(Settings):
    """Tokens of the whole conversation, and turns; None is no bound."""

    min_tokens: int | None = Field(ge=0)
    max_tokens: int | None = Field(ge=1)
    max_turns: int | None = Field(ge=1)


class ContaminationSettings(Settings):
    """Evaluation sets that no training task may come from.

    `files` are task files or other JSON lines, plain or gzipped, ``pkg://`` too; none switches the
    step off. The first of `fields` that a line has is its prompt. A task goes if a `share` of its
    runs of `n` words or more stands in any of the prompts.
    """

    files: list[str]
    fields: list[str] = Field(min_length=1)
    n: int = Field(ge=1)
    share: float = Field(gt=0, le=1)


class PerTaskSettings(Settings):
    """The `k` ``best`` trajectories of a task, or the best and those least like it."""

    keep: Literal["best", "diverse"]
    k: int = Field(ge=1)


class DuplicateSettings(Settings):
    """Near-duplicates are as like as `threshold` or more (1 is the same), by MinHash."""

    threshold: float = Field(gt=0, lt=1)
    permutations: int = Field(ge=16, le=1024)
    seed: int


class BalanceSettings(Settings):
    """The most trajectories of one data set and of one model, and their largest shares."""

    per_data_set: int | None = Field(ge=1)
    data_set_share: float | None = Field(gt=0, le=1)
    per_model: int | None = Field(ge=1)
    model_share: float | None = Field(gt=0, le=1)
    seed: int


class StepSettings(Settings):
    """Steps over all that the filters kept, asked in this order; None switches one off."""

    tokenizer: Literal["cl100k", "o200k", "llama3", "qwen3"]
    bounds: BoundsSettings | None
    contamination: ContaminationSettings | None
    per_task: PerTaskSettings | None
    duplicates: DuplicateSettings | None
    balance: BalanceSettings | None


class SelectionSettings(Settings):
    """Which records count as what, and which are kept (rules 1 to 12).

    `suffixes` are cut off model names, then `aliases` apply; `strong` are glob patterns over the
    names that result. `easy_turns` is the most turns that an easy success takes. With
    `complete_only`, a weaker model's records count only where its experiment met every task.
    `filters` are asked in their order. What shows the reference too early is, for the filter
    ``gold_leak``, ``feedback`` alone or any ``observation``. Conversations are written, and the
    first of duplicates is chosen, in the order of ``files`` or of ``tasks``: the latter does not
    depend on which episode finished first.
    """

    feedback: Literal["none", "all"]
    suffixes: list[str]
    aliases: dict[str, str]
    strong: list[str]
    easy_turns: int = Field(ge=1)
    complete_only: bool
    filters: list[str]
    excluded_tasks: list[str]
    leaks: Literal["feedback", "observation"]
    order: Literal["files", "tasks"]
    steps: StepSettings
    conversion: ConversionSettings

    @field_validator("filters")
    @classmethod
    def _known(cls, names: list[str]) -> list[str]:
        for name in names:
            if name not in FILTERS:
                raise ValueError(f"there is no filter {name!r} ({nearest(name, FILTERS)})")
        if len(set(names)) < len(names):
            raise ValueError("a filter is named twice: it would take nothing the second time")
        return names


class CollectionSettings(Settings):
    """What both commands need.

    `source` is one or more files, run folders or trees of either. `out` is a folder. `workers`
    is the number of processes; None is one for each core.
    """

    source: str | list[str]
    out: str
    selection: SelectionSettings
    workers: int | None = Field(ge=1)

    @property
    def sources(self) -> list[str]:
        """Every source, in the order in which they were given."""
        return [self.source] if isinstance(self.source, str) else self.source


class TiersConfig(CollectionSettings):
    """``codeact tiers``. Hard tasks are written back where `task` names their files."""

    data: str
    task: TaskSettings | None = None


class SelectConfig(CollectionSettings):
    """``codeact select``."""
