"""A run as a Python object: its summary, its episodes, and data frames of episodes and turns."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from codeact.episode.effects import Turn
from codeact.episode.record import EpisodeRecord
from codeact.experiment.summary import Summary, summarize_folder
from codeact.recordings.files import EPISODES
from codeact.recordings.index import Index, Where
from codeact.recordings.index_rows import COLUMNS, IndexRow

if TYPE_CHECKING:
    import pandas as pd  # type: ignore[import-untyped]

EPISODE_TYPES = {
    name: {
        str: "str",
        int: "int64",
        bool: "bool",
        float: "float64",
        float | None: "float64",
        int | None: "Int64",
    }.get(hint, "str")
    for name, hint in IndexRow.__annotations__.items()
}
"""The dtypes of `Run.frame`: one column for each field of `IndexRow`, and `own_success`."""
EFFECTS = ("model", "sandbox", "grader", "feedback")
TURN_TYPES = {
    "key": "str",
    "task_name": "str",
    "task_id": "str",
    "sample": "int64",
    "turn": "int64",
    "action": "str",
    "status": "str",
    "correct": "boolean",
    "prompt": "int64",
    "completion": "int64",
    "cached": "int64",
    "reasoning": "int64",
    "feedback_prompt": "int64",
    "feedback_completion": "int64",
    "cost": "float64",
    "feedback_cost": "float64",
    **{f"{effect}_seconds": "float64" for effect in EFFECTS},
    "reused": "bool",
    "restored": "bool",
}
"""The dtypes of `Run.turns`; `turn` counts from 1."""
TEXT_TYPES = {"content": "str", "observation": "str", "feedback": "str"}
"""The dtypes of what `Run.turns` has more with ``texts=True``."""


class RunEpisode:
    """An episode of a run: its numbers as attributes, and its `record` as soon as it is asked for.

    In a notebook it shows its transcript.
    """

    def __init__(self, index: Index, row: IndexRow) -> None:
        self._index = index
        self.row = row
        """What the index knows, without reading the record."""

    @property
    def key(self) -> str:
        """What `Run.episode` finds it by."""
        return self.row.key

    @property
    def success(self) -> bool:
        """Whether the episode ended with a right answer."""
        return self.row.success

    @cached_property
    def record(self) -> EpisodeRecord:
        """The whole record, with messages and turns; raises `RecordingError`."""
        return self._index.read(self.row.key)

    def __repr__(self) -> str:
        end = "solved" if self.success else self.row.cause or self.row.terminate_reason
        return f"<episode {self.key}: {end} after {self.row.turns} turns>"

    def _repr_html_(self) -> str:
        from codeact.results.notebook import transcript_html

        return transcript_html(self.record)


class RunEpisodes(Sequence[RunEpisode]):
    """Episodes of a run, in the order that was asked for; no record is read before it is used."""

    def __init__(self, index: Index, asked: dict[str, Any]) -> None:
        self._index = index
        self._asked = asked

    @cached_property
    def rows(self) -> list[IndexRow]:
        """What the index knows of them."""
        return self._index.rows(**self._asked)

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, place: int) -> RunEpisode: ...
    @overload
    def __getitem__(self, place: slice) -> list[RunEpisode]: ...
    def __getitem__(self, place: int | slice) -> RunEpisode | list[RunEpisode]:
        if isinstance(place, slice):
            return [RunEpisode(self._index, row) for row in self.rows[place]]
        return RunEpisode(self._index, self.rows[place])

    def __iter__(self) -> Iterator[RunEpisode]:
        return (RunEpisode(self._index, row) for row in self.rows)

    def __repr__(self) -> str:
        return f"<{len(self):,} episodes>"


class Run:
    """A run folder, or a tree of recorded episodes, as it is on disk; it follows a live run.

    In a notebook it shows its table. `codeact.open` makes one, and so do `codeact.run` and
    `codeact.arun`.
    """

    def __init__(self, path: str | PathLike[str]) -> None:
        self.path = Path(path)
        """What was opened."""
        self._index = Index.open(self.path)
        self._summary: Summary | None = None

    @property
    def index(self) -> Index:
        """The index of the episodes, up to date."""
        if self._index.update():
            self._summary = None
        return self._index

    @property
    def summary(self) -> Summary:
        """All numbers, as the command's table and ``summary.json`` have them.

        Raises `RunFolderError` where a line of a run folder holds no episode.
        """
        index = self.index
        if self._summary is None:
            self._summary = _summary_of(index)
        return self._summary

    def episodes(
        self,
        task: str | Sequence[str] | None = None,
        success: bool | None = None,
        *,
        text: str = "",
        sort: Sequence[str] = (),
        limit: int | None = None,
        **where: Any,
    ) -> RunEpisodes:
        """Return the episodes of data sets, solved or not, with the words of `text` in them.

        Other conditions are columns: ``model="m"``, ``cause=["provider", None]``,
        ``turns=codeact.Between(3)``. `sort` names columns, with ``-`` in front from high to low.
        Raises `ConfigError` for an unknown column.
        """
        conditions: dict[str, Any] = dict(where)
        if task is not None:
            conditions["task_name"] = task
        if success is not None:
            conditions["success"] = success
        asked = {"where": conditions, "text": text, "sort": sort, "limit": limit}
        self.index.columns(["key"], conditions, sort=sort, limit=0)  # refuse it now, not later
        return RunEpisodes(self._index, asked)

    def episode(self, key: str) -> RunEpisode:
        """Return one episode by its key; raises `RecordingError` if it is not there."""
        found = self.index.rows({"key": key})
        if not found:
            self._index.read(key)
        return RunEpisode(self._index, found[0])

    def frame(self, where: Where | None = None) -> "pd.DataFrame":
        """Return a data frame with one row an episode; its dtypes are `EPISODE_TYPES`."""
        import pandas as pd

        found = pd.DataFrame(self.index.columns(COLUMNS, where), columns=list(COLUMNS))
        found = found.astype(EPISODE_TYPES)
        counts = found["counted"] & ~found["edited"]
        found["own_success"] = found["success"].astype("boolean").where(counts, pd.NA)
        return found

    def turns(self, *, texts: bool = False) -> "pd.DataFrame":
        """Return a data frame with one row a turn; its dtypes are `TURN_TYPES`.

        With `texts` there are what was run or proposed, what came of it, and the feedback; every
        record is read whole for that.
        """
        import pandas as pd

        kinds = {**TURN_TYPES, **TEXT_TYPES} if texts else TURN_TYPES
        rows = [
            _turn_row(key, record, number, turn, texts)
            for key, record in self._records(texts=texts)
            for number, turn in enumerate(record.turns, 1)
        ]
        return pd.DataFrame(rows, columns=list(kinds)).astype(kinds)

    def _records(self, *, texts: bool) -> Iterator[tuple[str, EpisodeRecord]]:
        index = self.index
        if texts:
            return ((key, index.read(key)) for (key,) in index.columns(["key"]))
        return ((line.key, line.record) for line in index.every_line() if line.is_newest)

    def __fspath__(self) -> str:
        return str(self.path)

    def __len__(self) -> int:
        return self.index.count()

    def __repr__(self) -> str:
        solved = self.index.count({"success": True, "counted": True, "edited": False})
        return f"<run {self.path}: {len(self):,} episodes, {solved:,} solved>"

    def _repr_html_(self) -> str:
        from codeact.results.notebook import table_html
        from codeact.results.tables import run_table

        return table_html(run_table(str(self.path), self.summary))

    def close(self) -> None:
        """Close the index; the run can be opened again at any time."""
        self._index.close()


def _summary_of(index: Index) -> Summary:
    if index.source.is_dir() and (index.source / EPISODES).exists():
        return summarize_folder(index.source)
    summary = Summary()
    for line in index.every_line():
        if line.is_newest:
            summary.add(line.record)
    return summary


def _turn_row(
    key: str, record: EpisodeRecord, number: int, turn: Turn, texts: bool
) -> tuple[Any, ...]:
    seconds = (turn.seconds.get(effect) for effect in EFFECTS)
    said = (turn.content, turn.observation, turn.feedback) if texts else ()
    return (
        *(key, record.task_name, record.task_id, record.sample, number),
        *(turn.action, turn.status, turn.correct),
        *(turn.usage.prompt, turn.usage.completion, turn.usage.cached, turn.usage.reasoning),
        *(turn.feedback_usage.prompt, turn.feedback_usage.completion),
        *(turn.cost, turn.feedback_cost),
        *seconds,
        *(turn.reused, turn.restored),
        *said,
    )
