"""The settings of tiers, selection and conversion, and of the two commands."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, field_validator

from codeact.collection.filters import FILTERS
from codeact.episode.settings import Settings
from codeact.experiment.config.tasks import Missing, TaskSettings
from codeact.wording import nearest

TIER_NAMES = ("easy", "medium", "strong")
"""The tiers that have conversations, in their order."""


class Replacement(Settings):
    """A text of the instruction, and its replacement in a conversation."""

    old: str = Field(min_length=1)
    """A text of the instruction."""
    new: str
    """Its replacement in a conversation."""


class ConversionSettings(Settings):
    """How a trajectory becomes a conversation (docs/selection.md, "Conversion").

    Published `ids` name task, model and turn setting only, so they repeat where a model was
    recorded with several kinds of feedback. The speaker's label ``Assistant:`` is deleted from
    what the model wrote, `everywhere` or only `outside_code`; at the beginning it always is.
    `thoughts` lose the tags around them in ``pairs`` only, or are ``untagged`` altogether. What the
    model said `after_action`, and the environment did not answer, is kept or cut.
    """

    ids: Literal["published", "unique"]
    """`published` ids repeat where a model was recorded with several kinds of feedback;
    `unique` ones do not."""
    instruction: list[Replacement]
    """Texts of the instruction that are replaced: a list of {old, new}."""
    label: Literal["everywhere", "outside_code"]
    """Where `Assistant:` labels are deleted from what the model wrote."""
    thoughts: Literal["pairs", "untagged"] = "pairs"
    """`untagged` leaves no word about thought tags in the conversation; `pairs` removes tags that
    belong together, as published."""
    after_action: Literal["keep", "cut"] = "keep"
    """Whether text after a turn's action stays."""


class BoundsSettings(Settings):
    """Tokens of the whole conversation, and turns; None is no bound."""

    min_tokens: int | None = Field(ge=0)
    """The fewest tokens of a conversation; null is no bound."""
    max_tokens: int | None = Field(ge=1)
    """The most tokens of a conversation; null is no bound."""
    max_turns: int | None = Field(ge=1)
    """The most turns of a conversation; null is no bound."""


class ContaminationSettings(Settings):
    """Evaluation sets that no training task may come from.

    `files` are task files or other JSON lines, plain or gzipped, ``pkg://`` too; none switches the
    step off. The first of `fields` that a line has is its prompt. A task goes if a `share` of its
    runs of `n` words or more stands in any of the prompts.
    """

    files: list[str]
    """Evaluation sets: task files or other JSON lines; none switches the step off."""
    fields: list[str] = Field(min_length=1)
    """The first of these fields that a line has is its prompt."""
    n: int = Field(ge=1)
    """The length of a run of words that is looked for."""
    share: float = Field(gt=0, le=1)
    """A task goes when this share of its runs of words is found."""


class PerTaskSettings(Settings):
    """The `k` ``best`` trajectories of a task, or the best one and those most unlike it."""

    keep: Literal["best", "diverse"]
    """The `best` trajectories of a task, or `diverse`: the best one and those most unlike it."""
    k: int = Field(ge=1)
    """How many trajectories of a task are kept."""


class DuplicateSettings(Settings):
    """Near-duplicates have a MinHash similarity of `threshold` or more (1 is identical)."""

    threshold: float = Field(gt=0, lt=1)
    """How alike near-duplicates are; 1 is the same."""
    permutations: int = Field(ge=16, le=1024)
    """Permutations of MinHash: more are more exact, and slower."""
    seed: int
    """The seed of MinHash."""


class BalanceSettings(Settings):
    """The most trajectories of one data set and of one model, and their largest shares."""

    per_data_set: int | None = Field(ge=1)
    """The most trajectories of one data set; null is no bound."""
    data_set_share: float | None = Field(gt=0, le=1)
    """The largest share of one data set; null is no bound."""
    per_model: int | None = Field(ge=1)
    """The most trajectories of one model; null is no bound."""
    model_share: float | None = Field(gt=0, le=1)
    """The largest share of one model; null is no bound."""
    seed: int
    """The seed of what is drawn."""


class StepSettings(Settings):
    """Steps over all that the filters kept, asked in this order; None switches one off."""

    tokenizer: Literal["cl100k", "o200k", "llama3", "qwen3"]
    """The tokenizer that bounds are counted with."""
    bounds: BoundsSettings | None
    """Bounds on tokens and turns; null switches the step off."""
    contamination: ContaminationSettings | None
    """Tasks of evaluation sets go; null switches the step off."""
    per_task: PerTaskSettings | None
    """How many trajectories of a task stay; null switches the step off."""
    duplicates: DuplicateSettings | None
    """Near-duplicates go; null switches the step off."""
    balance: BalanceSettings | None
    """Bounds on data sets and models; null switches the step off."""


class SelectionSettings(Settings):
    """Which records count as what, and which are kept (docs/selection.md).

    `suffixes` are cut off model names, then `aliases` apply; `strong` are glob patterns over the
    names that result. `easy_turns` is the most turns that an easy success takes. With
    `complete_only`, a weaker model's records count only where its experiment met every task.
    `filters` are asked in their order. What shows the reference too early is, for the filter
    ``gold_leak``, ``feedback`` alone or any ``observation``. Conversations are written, and the
    first of duplicates is chosen, in the order of ``files`` or of ``tasks``: the latter does not
    depend on which episode finished first.
    """

    feedback: Literal["none", "all"]
    """`none` takes only episodes without feedback, `all` takes all."""
    suffixes: list[str]
    """Endings that are cut off model names."""
    aliases: dict[str, str]
    """Model names that count as another's."""
    strong: list[str]
    """Glob patterns of the strong models' names."""
    easy_turns: int = Field(ge=1)
    """The most turns of an easy success."""
    complete_only: bool
    """Whether a weaker model's records count only where its experiment met every task."""
    filters: list[str]
    """The filters, in the order in which they are asked."""
    excluded_tasks: list[str]
    """Data sets that the filter `excluded_tasks` drops."""
    leaks: Literal["feedback", "observation"]
    """Where `gold_leak` looks for the reference: in feedback alone, or in any observation."""
    order: Literal["files", "tasks"]
    """The order of conversations: of the `files`, or of the `tasks`, which does not depend on
    which episode finished first."""
    steps: StepSettings
    """Steps over all that the filters kept."""
    conversion: ConversionSettings
    """How a trajectory becomes a conversation."""

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
    """Files, run folders or trees of either."""
    out: str
    """The folder for what is written."""
    selection: SelectionSettings
    """The rules of tiers, selection and conversion."""
    workers: int | None = Field(ge=1)
    """How many processes; null is one for each core."""

    @property
    def sources(self) -> list[str]:
        """Every source, in the order in which they were given."""
        return [self.source] if isinstance(self.source, str) else self.source


class TiersConfig(CollectionSettings):
    """``codeact tiers``. Hard tasks are written back where `task` names their files."""

    data: str
    """The folder of the task files."""
    missing: Missing = "refuse"
    """A data set whose file is missing: `refuse` the command, or `skip` it and say so."""
    task: TaskSettings | None = None
    """The task files that hard tasks are written back from; null writes none."""


def whole_name(name: str | None) -> str | None:
    """Check the name of the file with all tiers; raises `ValueError`."""
    if name is None:
        return None
    name = name.removesuffix(".jsonl")
    if not re.fullmatch(r"\w[\w.+-]*", name):
        raise ValueError(f"{name!r} is no name of a file: give letters, digits, '-', '_', '.', '+'")
    if name.lower() in TIER_NAMES:
        raise ValueError(f"{name!r} is the name of a tier's file; give another")
    return name


WholeName = Annotated[str | None, AfterValidator(whole_name)]


class SelectConfig(CollectionSettings):
    """``codeact select``. With a `name`, ``NAME.jsonl`` has the conversations of all tiers."""

    name: WholeName = None
    """The name of one more file, NAME.jsonl, with the conversations of all tiers; null writes
    none."""
