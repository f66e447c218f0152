"""Raw records from a data-set hub, by the ``datasets`` library, instead of from files."""

from collections.abc import Iterator
from pathlib import Path
from textwrap import shorten

from codeact.datasets.preparing.raw import HUB, Raw, Record, Refuse
from codeact.exceptions import TaskFileError

_SECONDS = 20.0
_LONGEST_REASON = 400


class HubRaw(Raw):
    """One split of a hub's data set; ``NAME:CONFIG`` names a configuration of it.

    A name may also be a folder in the hub's layout. Its records have the raw files' own fields.
    There are no files to digest: what is read from a hub is known by its commit.
    """

    def __init__(self, name: str, split: str, refuse: Refuse) -> None:
        self.name, _, self.config = name.partition(":")
        self.split = split
        self.refuse = refuse
        self.digests = {}
        self.commit: str | None = None

    @property
    def label(self) -> str:
        """What the card calls this; the commit is known once records have been read."""
        name = f"{HUB}{self.name}" + (f":{self.config}" if self.config else "")
        return f"{name}, {self.split}" + (f", commit {self.commit}" if self.commit else "")

    def has(self, _pattern: str) -> bool:
        """Always False: a hub has records, not files."""
        return False

    def records(self, *_patterns: str) -> Iterator[Record]:
        """Stream the split; raises `TaskFileError` offline, or if there is no such data set."""
        from datasets import load_dataset  # type: ignore[import-untyped]

        try:
            self.commit = self._commit()
            rows = load_dataset(
                self.name,
                self.config or None,
                split=self.split,
                revision=self.commit,
                streaming=True,
            )
            for number, row in enumerate(rows, start=1):
                yield Record(f"hub:{self.name}, {self.split}, row {number}", dict(row))
        # The library passes on errors of the many libraries that it uses.
        except Exception as error:
            reason = shorten(f"{type(error).__name__}: {error}", _LONGEST_REASON)
            raise TaskFileError(
                f"raw=hub:{self.name}, split {self.split}, cannot be read "
                f"({reason}); give raw=hub:NAME:CONFIG to name a configuration, "
                "or, offline, the folder of the raw files"
            ) from error

    def _commit(self) -> str | None:
        """The commit that is read, None of a folder; `load_dataset` tries a dead hub for longer."""
        from huggingface_hub import HfApi

        if Path(self.name).is_dir():
            return None
        return HfApi().dataset_info(self.name, timeout=_SECONDS).sha
