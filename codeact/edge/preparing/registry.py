"""Finds a preparer by name: ours, or a plug-in's entry point in the group ``codeact.preparers``."""

import importlib
from importlib.metadata import EntryPoint, entry_points

from codeact.edge.preparing.base import Preparer
from codeact.exceptions import ConfigError
from codeact.wording import nearest

GROUP = "codeact.preparers"
BUILT_IN = (
    "apps",
    "gsm8k",
    "hotpotqa",
    "humaneval",
    "math",
    "mbpp",
    "mmlu",
    "strategyqa",
    "theoremqa",
    "wiki_table_questions",
)


def names() -> list[str]:
    """All data sets that can be prepared here."""
    return sorted({*BUILT_IN, *_plug_ins()})


def get(name: str) -> Preparer:
    """Find a preparer; raises `ConfigError` with the nearest name if there is none."""
    if name in BUILT_IN:
        preparer = importlib.import_module(f"codeact.edge.preparing.{name}").PREPARER
        assert isinstance(preparer, Preparer)
        return preparer
    plug_in = _plug_ins().get(name)
    if plug_in is None:
        raise ConfigError(f"no data set {name!r} can be prepared ({nearest(name, names())})")
    try:
        preparer = plug_in.load()
    except Exception as error:
        raise ConfigError(
            f"preparer {name!r} is a plug-in ({plug_in.value}) that cannot be loaded: "
            f"{type(error).__name__}: {error}"
        ) from error
    if not isinstance(preparer, Preparer):
        raise ConfigError(
            f"preparer {name!r} is a plug-in ({plug_in.value}) that gives "
            f"a {type(preparer).__name__}; it must give a codeact Preparer"
        )
    return preparer


def _plug_ins() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP)}
