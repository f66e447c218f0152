"""A run that is compared: its episodes, its settings and the metadata of its tasks."""

from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec

from codeact.episode.record import EpisodeRecord
from codeact.exceptions import CodeactError, ConfigError
from codeact.experiment.config.schema import RunConfig
from codeact.experiment.plan import load_sets
from codeact.recordings.definition import IDENTITY, Values, read_definition
from codeact.recordings.index import Index
from codeact.recordings.run_folder import CONFIG
from codeact.results.comparison.played import COLUMNS, Episodes, TaskValues, task_values

PUBLISHED_GRADING = "mint"
"""The grading mode of published recordings."""


class PlayedRun:
    """One run of a comparison.

    `place` is what its records' files are relative to. `where` chooses its episodes in a source
    that holds several runs. `folder` is its run folder, None in a published tree.
    """

    def __init__(
        self,
        name: str,
        index: Index,
        where: Mapping[str, Any] | None = None,
        folder: Path | None = None,
    ) -> None:
        self.name = name
        self.place = index.source
        self.folder = folder
        self._root = self.place if self.place.is_dir() else self.place.parent
        self._index = index
        self._where = where
        first = index.columns(("file",), where, limit=1) if folder is not None else []
        only = first[0][0] if first else None
        names = COLUMNS if only is not None else (*COLUMNS, "file")
        self.episodes = Episodes.of(index.columns(names, where), only)
        kind = index.columns(("model", "feedback", "turn_setting"), where, limit=1)
        self.model, self.feedback, self.limit_name = kind[0] if kind else ("", "", "")
        """Those of its first episode; `limit_name` names its turn setting."""

    @cached_property
    def tasks(self) -> TaskValues:
        return task_values(self.episodes)

    @property
    def samples(self) -> int:
        """How many samples of each task the run was to play, as far as its records tell."""
        return int(self.episodes.sample.max(initial=0)) + 1

    @cached_property
    def configuration(self) -> Values:
        """The run's configuration by dotted key; of a published run what its path says."""
        if self.folder is not None and (self.folder / CONFIG).exists():
            from omegaconf import OmegaConf

            try:
                plain = OmegaConf.to_container(OmegaConf.load(self.folder / CONFIG), resolve=False)
            except Exception as error:
                raise ConfigError(f"{self.folder / CONFIG}: cannot be read: {error}") from error
            return dict(_flat(plain, ""))
        named = {"model": self.model, "feedback": self.feedback, "turns": self.limit_name}
        return {key: value for key, value in named.items() if value}

    @cached_property
    def definition(self) -> Values:
        """The settings that decide what the run's episodes are, as ``identity.json`` has them."""
        found = read_definition(self.folder) if self.folder is not None else None
        return self.configuration if found is None else found.values

    @property
    def has_definition(self) -> bool:
        return self.folder is not None and (self.folder / IDENTITY).exists()

    @property
    def grading(self) -> str:
        """The grading mode of its verdicts."""
        return str(self.configuration.get("grading.mode", PUBLISHED_GRADING))

    def address(self, row: int) -> str:
        """Where the record of an episode is: ``FILE:LINE``."""
        return f"{self._root}/{self.episodes.file[row]}:{self.episodes.line[row]}"

    def task_key(self, row: int) -> str:
        """``name/id`` of an episode's task."""
        return f"{self.episodes.task_name[row]}/{self.episodes.task_id[row]}"

    def records(self) -> Iterator[EpisodeRecord]:
        """Read every episode whole; raises `RecordingError`."""
        for (key,) in self._index.columns(("key",), self._where):
            yield self._index.read(key)

    def values_of(self, field: str) -> dict[str, str]:
        """Return a field of the tasks' metadata by task digest, where they have it.

        It is in the records of published runs, and in the task files of others.
        """
        found: dict[str, str] = {}
        for digest, text in self._index.columns(("task_digest", "metadata"), self._where):
            if text is not None and field in (metadata := msgspec.json.decode(text)):
                found[digest] = _as_text(metadata[field])
        return found or dict(self._values_of_files(field))

    def _values_of_files(self, field: str) -> Iterator[tuple[str, str]]:
        if self.folder is None or not (self.folder / CONFIG).exists():
            return
        from omegaconf import OmegaConf

        try:
            plain = OmegaConf.to_container(OmegaConf.load(self.folder / CONFIG), resolve=False)
            sets = load_sets(RunConfig.model_validate(plain))
        except (CodeactError, ValueError) as error:
            raise ConfigError(
                f"{self.name}: the metadata field {field!r} is in the task files of the run, and "
                f"they cannot be read: {error}"
            ) from error
        for task in (task for one in sets for task in one.tasks):
            if field in task.metadata:
                yield task.digest, _as_text(task.metadata[field])


def _as_text(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _flat(tree: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{name}.")
        else:
            yield name, value
