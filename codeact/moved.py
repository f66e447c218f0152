"""Import paths that have moved: the old ones still work, each with a DeprecationWarning.

The finder is asked last, so a module that is there is never looked up here.
"""

import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType

MOVED = (
    ("codeact.edge.families.base", "codeact.datasets.family"),
    ("codeact.edge.families.files", "codeact.datasets.task_files"),
    ("codeact.edge.families.registry", "codeact.datasets.families"),
    ("codeact.edge.families.*", "codeact.datasets.*.task"),
    ("codeact.edge.families", "codeact.datasets"),
    ("codeact.edge.preparing.registry", "codeact.datasets.preparing.preparers"),
    ("codeact.edge.preparing.*", "codeact.datasets.*.prepare"),
    ("codeact.edge.preparing.*", "codeact.datasets.preparing.*"),
    ("codeact.edge.preparing.*", "codeact.datasets.wiki_table_questions.*"),
    ("codeact.edge.preparing", "codeact.datasets.preparing"),
    ("codeact.edge.models.factory", "codeact.models.registry"),
    ("codeact.edge.models.limits", "codeact.models.pace"),
    ("codeact.edge.models.endpoints", "codeact.models.replicas"),
    ("codeact.edge.models.openai_api", "codeact.models.openai.client"),
    ("codeact.edge.models.openai_http", "codeact.models.remote.transport"),
    ("codeact.edge.models.openai_*", "codeact.models.openai.*"),
    ("codeact.edge.models.openai_*", "codeact.models.remote.*"),
    ("codeact.edge.models.vllm_*", "codeact.models.vllm.*"),
    ("codeact.edge.models.recordings", "codeact.recordings.episodes"),
    ("codeact.edge.models.response_cache", "codeact.models.cache"),
    ("codeact.edge.sandboxes.docker", "codeact.sandboxes.docker.executor"),
    ("codeact.edge.sandboxes.*", "codeact.sandboxes.docker.*"),
    ("codeact.edge.cluster", "codeact.ray_cluster"),
    ("codeact.edge.validate", "codeact.experiment.validate"),
    ("codeact.edge.*", "codeact.*"),
    ("codeact.edge", ""),
    ("codeact.experiment.store", "codeact.recordings.run_folder"),
    ("codeact.experiment.provenance", "codeact.recordings.provenance"),
    ("codeact.experiment.causes", "codeact.episode.causes"),
    ("codeact.experiment.compose", "codeact.experiment.config.compose"),
    ("codeact.experiment.validation", "codeact.experiment.config.validation"),
    ("codeact.collection.mint_format", "codeact.recordings.published"),
    ("codeact.collection.*", "codeact.recordings.*"),
)
"""Old paths and new ones. A star is the same rest in both; the first that is there counts. No new
path fits an old one with a star, or looking it up would not end."""


def new_path(old: str) -> str | None:
    """Return where a module is now, an empty text for a mere folder; None if it never was."""
    for pattern, new in MOVED:
        start, star, _ = pattern.partition("*")
        rest = old.removeprefix(start)
        if old == pattern or (star and old.startswith(start)):
            found = new.replace("*", rest)
            if not found or _is_there(found):
                return found
    return None


def _is_there(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:
        return False


class Finder:
    """Finds moved modules under their old names, and is their loader."""

    @classmethod
    def find_spec(
        cls, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return a spec if `name` is an old path and the new one is there."""
        if not name.startswith("codeact.") or new_path(name) is None:
            return None
        return ModuleSpec(name, cls, is_package=True)  # type: ignore[arg-type]

    @staticmethod
    def create_module(spec: ModuleSpec) -> None:
        """Leave it to Python."""

    @staticmethod
    def exec_module(module: ModuleType) -> None:
        """Take every name from where the module is now."""
        if new := new_path(module.__name__):
            text = f"{module.__name__} has moved: import {new} instead"
            warnings.warn(text, DeprecationWarning, stacklevel=2)
            real = import_module(new)
            module.__getattr__ = lambda name: getattr(real, name)  # type: ignore[method-assign]


def install() -> None:
    """Let imports go on to the finder; a second call changes nothing."""
    if Finder not in sys.meta_path:
        sys.meta_path.append(Finder)
