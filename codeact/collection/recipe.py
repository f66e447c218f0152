"""What a recipe is, what it may cost, and which of its stages are done."""

import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Self

import msgspec
from pydantic import Field

from codeact.collection.settings import SelectionSettings, WholeName
from codeact.episode.effects import Usage
from codeact.episode.settings import Settings
from codeact.exceptions import ConfigError
from codeact.experiment.config.schema import RunConfig
from codeact.recordings.provenance import file_digest
from codeact.recordings.run_folder import write_whole

_STAGES = "stages"


class AssumedSettings(Settings):
    """Tokens of one episode, all its requests together."""

    prompt: int = Field(ge=0)
    """Prompt tokens of one episode, all its requests together."""
    completion: int = Field(ge=0)
    """Completion tokens of one episode."""


class StatisticsSettings(Settings):
    """A tokenizer of ``codeact stats``, and the length in tokens at which training cuts off."""

    tokenizer: str
    """The tokenizer of `codeact stats`."""
    limit: int = Field(ge=1)
    """The length in tokens at which training cuts an example off."""


class RecipeSettings(Settings):
    """Overrides of ``codeact run``: `common` ones, each weaker model's, and the strong one's.

    A text in place of a weaker model's overrides is the path of its recorded episodes.
    """

    common: list[str]
    """Overrides of `codeact run` for every model."""
    weak: dict[str, list[str] | str] = Field(min_length=1)
    """Overrides for each weaker model, by its name in the report; or, in place of them, the path of
    a run folder, of recorded episodes or of a tree of either."""
    strong: list[str]
    """Overrides for the strong model."""
    assumed: AssumedSettings
    """Tokens of one episode, for the estimate of costs."""
    tolerated_failures: float = Field(ge=0, lt=1)
    """The share of episodes that may fail before the collection stops."""
    statistics: StatisticsSettings
    """How tokens are counted."""


class CollectConfig(Settings):
    """``codeact collect``."""

    recipe: RecipeSettings
    """Which models, on which tasks."""
    selection: SelectionSettings
    """The rules of tiers, selection and conversion."""
    out: str
    """The folder of the collection; an existing one is resumed."""
    data: str
    """The folder of the task files."""
    workers: int | None = Field(ge=1)
    """How many processes; null is one for each core."""
    name: WholeName = None
    """The name of one more file, selected/NAME.jsonl, with the conversations of all tiers; null
    writes none."""
    dry_run: bool
    """Print the estimate of what it may take, and stop."""


class Estimate(msgspec.Struct, frozen=True):
    """The estimated cost of a stage; `usd` is None where its model has no prices."""

    stage: str
    episodes: int
    prompt: int
    completion: int
    usd: float | None


def estimate(stage: str, config: RunConfig, episodes: int, assumed: AssumedSettings) -> Estimate:
    """Estimate from the assumed tokens of an episode, without those of a feedback model."""
    usage = Usage(assumed.prompt * episodes, assumed.completion * episodes)
    prices = config.model.prices
    usd = None if prices is None else prices.cost(usage)
    return Estimate(stage, episodes, usage.prompt, usage.completion, usd)


class StageRecord(msgspec.Struct):
    """The record of a finished stage: digests of its inputs and outputs, and its report."""

    inputs: str
    outputs: dict[str, str]
    report: dict[str, Any]


class StageOutput(NamedTuple):
    """A file that a stage wrote, with the digest of its content."""

    path: str
    digest: str


class Stages:
    """The stages of one output folder."""

    def __init__(self, out: Path) -> None:
        self._out = out
        self._folder = out / _STAGES

    @classmethod
    @contextmanager
    def opened(cls, out: Path) -> Iterator[Self]:
        """The folder's stages, for this process alone; raises `ConfigError` where that cannot be.

        The lock is the process's own and ends with it, however it ends.
        """
        try:
            (out / _STAGES).mkdir(parents=True, exist_ok=True)
            file = (out / _STAGES / ".lock").open("w")
        except OSError as error:
            raise ConfigError(f"out={out}: cannot be written ({error.strerror})") from error
        with file:
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise ConfigError(
                    f"out={out}: another codeact collect is at work in it; wait for it, or choose "
                    "another folder"
                ) from error
            yield cls(out)

    def done(self, name: str, inputs: str) -> StageRecord | None:
        """Return a stage's record if its inputs and outputs are unchanged."""
        try:
            found = msgspec.json.decode(self._file(name).read_bytes(), type=StageRecord)
            if found.inputs == inputs and dict(self._outputs(found.outputs)) == found.outputs:
                return found
        except (OSError, msgspec.MsgspecError):
            return None  # it was never done, or its files have changed: it is done again
        return None

    def finish(
        self, name: str, inputs: str, outputs: Iterable[Path], report: dict[str, Any]
    ) -> StageRecord:
        """Note that a stage is done with the `outputs`, which lie in the folder."""
        paths = sorted(os.path.relpath(path, self._out) for path in outputs)
        done = StageRecord(inputs, dict(self._outputs(paths)), report)
        write_json(self._file(name), done)
        return done

    def _file(self, name: str) -> Path:
        return self._folder / f"{name}.json"

    def _outputs(self, paths: Iterable[str]) -> Iterable[StageOutput]:
        for path in paths:
            yield StageOutput(path, file_digest(self._out / path))


def write_json(path: Path, document: object) -> None:
    """Replace a file with a readable JSON document in one step."""
    text = msgspec.json.format(msgspec.json.encode(document), indent=2)
    write_whole(path, text.decode() + "\n")
