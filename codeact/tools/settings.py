"""Settings of `wikipedia_search`, and the texts that all its sources share."""

from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from codeact.episode.settings import Settings
from codeact.episode.task import ToolSpec
from codeact.resources import resolve_path

SPEC = ToolSpec(
    name="wikipedia_search",
    signature="wikipedia_search(query: str) -> str",
    description=(
        "Looks a query up in an encyclopaedia and returns the summaries of the best matching "
        "pages as text; print the result to read it."
    ),
    without_code=(
        "Looks a query up in an encyclopaedia and returns the summaries of the best matching "
        "pages as text."
    ),
)
NOTHING_FOUND = "No page matches the query."
PAGES_SHOWN = 3


class NoSearch(Settings):
    """The run has no search."""

    kind: Literal["none"] = "none"
    """No search."""


class PageSearch(Settings):
    """Search in a JSONL file of ``{"title", "text"}`` pages, by words in common."""

    kind: Literal["pages"] = "pages"
    """Search in a file of pages."""
    path: str
    """The JSONL file of pages `{"title", "text"}`."""


class CorpusSearch(Settings):
    """Search in an index that ``codeact prepare corpus=NAME`` made."""

    kind: Literal["corpus"] = "corpus"
    """Search in a full-text index."""
    path: str
    """The index, NAME.corpus, which `codeact prepare corpus=NAME` made."""


class RecordedSearch(Settings):
    """Answers of an earlier run: a JSONL file of ``{"query", "result"}``, .gz too."""

    kind: Literal["recorded"] = "recorded"
    """Results of an earlier run."""
    path: str
    """The JSONL file of `{"query", "result"}`, also `.gz`."""


class WikipediaSearch(Settings):
    """The live MediaWiki API, asked over `connections` connections by all episodes together.

    One attempt takes `timeout` seconds at most. What may pass (429, 5xx, a broken connection) is
    asked again up to `retries` times with growing pauses, or when the service says; a query that
    has no answer within `patience` seconds ends its episode with the cause ``tool``. Keep that
    below ``executor.cell_seconds``. `contact` is a mail or web address for the operators, in the
    user agent: Wikimedia asks for one, and slows down who gives none.
    """

    incidental: ClassVar[frozenset[str]] = frozenset(
        {"retries", "patience", "connections", "contact"}
    )

    kind: Literal["wikipedia"] = "wikipedia"
    """The live Wikipedia."""
    url: str = "https://en.wikipedia.org/w/api.php"
    """The address of the MediaWiki API."""
    timeout: float = Field(default=20.0, gt=0)
    """Seconds for one attempt."""
    retries: int = Field(default=5, ge=0)
    """How often what may pass is asked again."""
    patience: float = Field(default=20.0, gt=0)
    """Seconds for a query with all its attempts."""
    connections: int = Field(default=1, ge=1, le=64)
    """Connections of all episodes together."""
    contact: str | None = Field(default=None, pattern=r"^[!-~]+$")
    """A mail or web address for the service's operators, in the user agent."""


SearchSettings = Annotated[
    NoSearch | PageSearch | CorpusSearch | RecordedSearch | WikipediaSearch,
    Field(discriminator="kind"),
]


def render(title: str, text: str) -> str:
    """Show one page as the policy reads it."""
    return f"Page: {title}\nSummary: {text}"


def files_of(settings: SearchSettings) -> list[Path]:
    """The files that answers depend on, for the run's provenance."""
    match settings:
        case PageSearch() | CorpusSearch() | RecordedSearch():
            return [resolve_path(settings.path)]
    return []
