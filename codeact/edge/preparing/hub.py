"""Raw records from a data-set hub, by the ``datasets`` library, instead of from files."""

import importlib
from collections.abc import Iterator

from codeact.edge.preparing.raw import HUB, Raw, Record, Refuse
from codeact.exceptions import ConfigError, TaskFileError


class HubRaw(Raw):
    """One split of a hub's data set; ``NAME:CONFIG`` names a configuration of it.

    Its records have the raw files' own fields. There are no files, and so no digests of any.
    """

    def __init__(self, name: str, split: str, refuse: Refuse) -> None:
        self.name, _, self.config = name.partition(":")
        self.split = split
        self.refuse = refuse
        self.digests = {}

    @property
    def label(self) -> str:
        """What the card calls this."""
        return f"{HUB}{self.name}, {self.split}"

    def records(self, *_patterns: str) -> Iterator[Record]:
        """Stream the split; raises `ConfigError` without the library, `TaskFileError` offline."""
        try:
            load_dataset = importlib.import_module("datasets").load_dataset
        except ImportError as error:
            raise ConfigError(
                f"raw=hub:{self.name} needs the library datasets: pip install datasets"
            ) from error
        try:
            rows = load_dataset(self.name, self.config or None, split=self.split, streaming=True)
            for number, row in enumerate(rows, start=1):
                yield Record(f"hub:{self.name}, {self.split}, row {number}", dict(row))
        except (OSError, ValueError) as error:
            reason = str(error).partition("\n")[0]
            raise TaskFileError(
                f"raw=hub:{self.name} cannot be read ({type(error).__name__}: {reason}); offline, "
                "give the folder of the raw files instead"
            ) from error
