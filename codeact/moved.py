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

MOVED = {
    "codeact.edge.families.base": "codeact.datasets.family",
    "codeact.edge.families.files": "codeact.datasets.task_files",
    "codeact.edge.families.registry": "codeact.datasets.families",
    "codeact.edge.families.*": "codeact.datasets.*.task",
    "codeact.edge.families": "codeact.datasets",
    "codeact.edge.preparing.registry": "codeact.datasets.preparers",
    "codeact.edge.preparing.base": "codeact.datasets.preparing.base",
    "codeact.edge.preparing.raw": "codeact.datasets.preparing.raw",
    "codeact.edge.preparing.writing": "codeact.datasets.preparing.writing",
    "codeact.edge.preparing.*": "codeact.datasets.*.prepare",
    "codeact.edge.preparing": "codeact.datasets.preparing",
    "codeact.edge.models.factory": "codeact.models.registry",
    "codeact.edge.models.openai_settings": "codeact.models.openai.settings",
    "codeact.edge.models.openai_api": "codeact.models.openai.client",
    "codeact.edge.models.recordings": "codeact.recordings.episodes",
    "codeact.edge.models.response_cache": "codeact.models.cache",
    "codeact.edge.models.vllm_settings": "codeact.models.vllm.settings",
    "codeact.edge.sandboxes.docker": "codeact.sandboxes.docker.executor",
    "codeact.edge.plugins": "codeact.plugins",
    "codeact.edge.*": "codeact.*",
    "codeact.edge": "",
    "codeact.experiment.store": "codeact.recordings.run_folder",
    "codeact.experiment.causes": "codeact.episode.causes",
    "codeact.experiment.compose": "codeact.experiment.config.compose",
    "codeact.experiment.validation": "codeact.experiment.config.validation",
}
"""Old paths and new ones; the first that fits counts, and a star is the rest. Nothing: a folder."""


def new_path(old: str) -> str | None:
    """Return where a module is now; None if it never was elsewhere."""
    for pattern, new in MOVED.items():
        start, star, _ = pattern.partition("*")
        if old == pattern or (star and old.startswith(start)):
            return new.replace("*", old.removeprefix(start))
    return None


class Finder:
    """Finds moved modules under their old names, and is their loader."""

    @classmethod
    def find_spec(
        cls, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return a spec if `name` is an old path and the new one is there."""
        if not name.startswith("codeact.") or (new := new_path(name)) is None:
            return None
        if new and not _is_there(new):
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


def _is_there(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def install() -> None:
    """Let imports go on to the finder; a second call changes nothing."""
    if Finder not in sys.meta_path:
        sys.meta_path.append(Finder)
