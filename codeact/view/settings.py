"""The settings of ``codeact view``."""

from typing import Literal

from pydantic import Field

from codeact.collection.settings import SelectionSettings
from codeact.episode.settings import Settings


class ViewConfig(Settings):
    """``codeact view``. Without an `episode`, text and JSON list the episodes, one a line."""

    source: str | list[str]
    """Run folders, `results.jsonl` files or trees of either."""
    episode: str | None
    """The id of an episode, or how it begins; null is all."""
    form: Literal["page", "text", "json"]
    """A local page, or text or JSON on standard output."""
    static: str | None
    """A folder to write the page to, which then opens from disk; null writes nothing."""
    port: int | None = Field(ge=0, le=65535)
    """The port of the page, on this machine alone; null takes the first free one from 7717 on."""
    selection: SelectionSettings
    """How chosen episodes become training conversations; of it only `conversion` is used."""

    @property
    def sources(self) -> list[str]:
        """Every source, in the order in which they were given."""
        return [self.source] if isinstance(self.source, str) else self.source
