"""What a user chooses: the rules of tiers, selection and conversion, and the two commands."""

from typing import Literal

from pydantic import Field, field_validator

from codeact.collection.filters import FILTERS
from codeact.episode.settings import Settings
from codeact.experiment.config import TaskSettings
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
    """

    ids: Literal["published", "unique"]
    instruction: list[Replacement]
    label: Literal["everywhere", "outside_code"]


class SelectionSettings(Settings):
    """Which records count as what, and which are kept (rules 1 to 12).

    `suffixes` are cut off model names, then `aliases` apply; `strong` are glob patterns over the
    names that result. `easy_turns` is the most turns that an easy success takes. With
    `complete_only`, a weaker model's records count only where its experiment met every task.
    `filters` are asked in their order.
    """

    feedback: Literal["none", "all"]
    suffixes: list[str]
    aliases: dict[str, str]
    strong: list[str]
    easy_turns: int = Field(ge=1)
    complete_only: bool
    filters: list[str]
    excluded_tasks: list[str]
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
