"""The runs that are shown: each is what an index has of one experiment.

A run folder is one run. In a published tree each experiment is one: a model with its feedback and
turn setting. Everything here may be called by several threads.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from threading import RLock
from typing import Any, Literal

import msgspec

from codeact.exceptions import RecordingError
from codeact.recordings.files import is_run, recording_files
from codeact.recordings.index import Index, Where
from codeact.recordings.index_rows import IndexRow
from codeact.recordings.locking import is_written
from codeact.view.questions import FACETS, EpisodeQuestion

Result = Literal["solved", "failed", "error"]
_EXPERIMENT = ("model", "feedback", "turn_setting")


class ListedEpisode(msgspec.Struct, frozen=True):
    """What a list shows of an episode; `cost` is in USD, `prompt` and `completion` are tokens."""

    key: str
    task: str
    task_id: str
    sample: int
    model: str
    digest: str
    result: Result
    cause: str | None
    counted: bool
    reason: str
    turns: int
    prompt: int
    completion: int
    cost: float | None
    seconds: float

    @classmethod
    def of(cls, row: IndexRow) -> "ListedEpisode":
        """Return it of an index's row."""
        return cls(
            row.key,
            row.task_name,
            row.task_id,
            row.sample,
            row.model,
            row.task_digest,
            "error" if row.cause else "solved" if row.success else "failed",
            row.cause,
            row.own_success is not None,
            row.terminate_reason,
            row.turns,
            row.prompt,
            row.completion,
            row.cost,
            row.seconds,
        )


class RunState(msgspec.Struct, frozen=True):
    """A run as the page's first list has it; `version` is another one after every change.

    `solved` are those of the `counted` episodes that the policy solved by itself.
    """

    name: str
    path: str
    episodes: int
    solved: int
    counted: int
    models: list[str]
    live: bool
    version: int


class ViewedRun:
    """One run: a part of an index, which is all of it where `where` is empty."""

    def __init__(self, name: str, index: Index, where: Where, version: int) -> None:
        self.name = name
        self.index = index
        self.where = dict(where)
        self.version = version
        self._kept: dict[Any, Any] = {}
        self._kept_version = -1
        self._lock = RLock()

    def kept(self, key: Any, make: Any) -> Any:
        """Return what `make` gives, computed once a version of the run."""
        with self._lock:
            if self._kept_version != self.version:
                self._kept, self._kept_version = {}, self.version
            if key not in self._kept:
                if len(self._kept) >= _MOST_KEPT:
                    self._kept.pop(next(iter(self._kept)))
                self._kept[key] = make()
            return self._kept[key]

    def state(self) -> RunState:
        """Return what the list of runs shows."""
        solved = counted = episodes = 0
        models: Counter[str] = Counter()
        for model, is_counted, edited, success, number in self._tally(*_COUNTED):
            episodes += number
            models[model] += number
            if is_counted and not edited:
                counted += number
                solved += number * success
        live = self.index.source.is_dir() and is_written(self.index.source)
        path = str(self.index.source)
        named = sorted(models)
        return RunState(self.name, path, episodes, solved, counted, named, live, self.version)

    def _tally(self, *names: str) -> list[tuple[Any, ...]]:
        found = self.kept(("tally", names), lambda: self.index.tally(names, self.where))
        return list(found)

    def facets(self) -> dict[str, list[tuple[str, int]]]:
        """Return the values of each column that is filtered by, with their numbers of episodes."""
        found: dict[str, Counter[Any]] = {name: Counter() for name in (*FACETS, "result")}
        for *values, number in self._tally(*_FACETED):
            shown = dict(zip(_FACETED, values, strict=True))
            for name, column in FACETS.items():
                if (value := shown[column]) is not None:
                    found[name][value] += number
            cause, success = shown["cause"], shown["success"]
            found["result"]["error" if cause else "solved" if success else "failed"] += number
        return {
            name: [(str(value), n) for value, n in sorted(one.items())]
            for name, one in found.items()
        }

    def rows(
        self, question: EpisodeQuestion, offset: int, limit: int
    ) -> tuple[int, list[ListedEpisode]]:
        """Return how many episodes a question finds, and some of them."""
        where = {**self.where, **question.where}
        total = self.kept(
            ("count", question.key), lambda: self.index.count(where, text=question.text)
        )
        if question.newest:
            # Turned here: sorting all episodes takes ten times as long as passing over them.
            end = max(0, total - offset)
            offset, limit = max(0, end - limit), min(limit, end)
        rows = self.index.rows(
            where, text=question.text, sort=question.sort, limit=limit, offset=offset
        )
        shown = [*map(ListedEpisode.of, rows)]
        return total, shown[::-1] if question.newest else shown

    def of_tasks(self, digests: Sequence[str]) -> dict[str, list[ListedEpisode]]:
        """Return the episodes of some tasks, by their digests and in the order of samples."""
        found: dict[str, list[ListedEpisode]] = {digest: [] for digest in digests}
        where = {**self.where, "task_digest": [*digests]}
        for row in self.index.rows(where, sort=["sample"]):
            found[row.task_digest].append(ListedEpisode.of(row))
        return found


_MOST_KEPT = 64
_COUNTED = ("model", "counted", "edited", "success")
_FACETED = ("task_name", "model", "cause", "success", "turns")


class ViewedRuns:
    """All runs of the sources, by their names; `refresh` finds what is new."""

    def __init__(self, sources: Sequence[str]) -> None:
        self.sources = [*sources]
        self._runs: dict[str, ViewedRun] = {}
        self._indexes: dict[Path, Index] = {}
        self._lock = RLock()
        self._version = 0

    def __getitem__(self, name: str) -> ViewedRun:
        try:
            return self._runs[name]
        except KeyError:
            raise RecordingError(f"there is no run {name!r} here") from None

    def __iter__(self) -> Iterator[ViewedRun]:
        with self._lock:
            return iter([*self._runs.values()])

    def __len__(self) -> int:
        return len(self._runs)

    def refresh(self) -> bool:
        """Take in new episodes and new runs; returns whether there were any."""
        with self._lock:
            changed = False
            for folder, base in self._found().items():
                if (index := self._indexes.get(folder)) is None:
                    changed |= self._add(folder, base)
                elif index.update():
                    changed = True
                    self._version += 1
                    for run in self._runs.values():
                        if run.index is index:
                            run.version = self._version
            return changed

    def _found(self) -> dict[Path, Path]:
        """Return every run folder, and every published source, with what it was found below."""
        found: dict[Path, Path] = {}
        for source in self.sources:
            root = Path(source)
            with suppress(RecordingError):  # nothing is recorded there yet
                for file in recording_files(root):
                    found.setdefault(file.parent if is_run(file) else root, root)
        return found

    def _add(self, folder: Path, root: Path) -> bool:
        index = Index.open(folder)
        self._indexes[folder] = index
        self._version += 1
        name = _name(folder, root, within=len(self.sources) > 1)
        if any(map(is_run, recording_files(folder))):
            self._keep(name, index, {})
        else:
            for *values, _ in index.tally(_EXPERIMENT):
                where = dict(zip(_EXPERIMENT, values, strict=True))
                self._keep("/".join(str(value) for value in values), index, where)
        return True

    def _keep(self, name: str, index: Index, where: Mapping[str, Any]) -> None:
        own, number = name, 1
        while own in self._runs:
            number += 1
            own = f"{name} ({number})"
        self._runs[own] = ViewedRun(own, index, where, self._version)

    def indexes(self) -> list[Index]:
        """Return the indexes of all runs, each once."""
        with self._lock:
            return [*self._indexes.values()]

    def close(self) -> None:
        """Close all indexes."""
        for index in self._indexes.values():
            index.close()


def _name(folder: Path, root: Path, *, within: bool) -> str:
    """Name a run by its place below what was given, or by its folder where it was given itself.

    Where several sources were given, the first part is the source's own name.
    """
    own = root.resolve().name
    if folder == root:
        return own
    below = folder.relative_to(root).as_posix()
    return f"{own}/{below}" if within else below
