"""The types of the public names, which `__init__.py` imports when they are first used."""

from codeact.exceptions import CodeactError as CodeactError
from codeact.python import arun as arun
from codeact.python import open as open  # noqa: A004
from codeact.python import run as run
from codeact.recordings.index import Between as Between
from codeact.results.comparison.compare import compare as compare
from codeact.results.opened import Run as Run
from codeact.results.opened import RunEpisode as RunEpisode
from codeact.results.opened import RunEpisodes as RunEpisodes

__version__: str
_HOMES: dict[str, str]
