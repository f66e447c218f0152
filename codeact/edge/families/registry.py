"""Finds a family by name: ours, or a plug-in's entry point in the group ``codeact.families``."""

import importlib
from importlib.metadata import EntryPoint, entry_points

from codeact.edge.families.base import Family
from codeact.exceptions import ConfigError
from codeact.wording import nearest

GROUP = "codeact.families"
BUILT_IN = (
    "apps",
    "gsm8k",
    "hotpotqa",
    "humaneval",
    "math",
    "math_train",
    "mbpp",
    "mmlu",
    "strategyqa",
    "theoremqa",
    "wiki_table_questions",
)


def names() -> list[str]:
    """All families that can be had here."""
    return sorted({*BUILT_IN, *_plug_ins()})


def get(name: str) -> Family:
    """Find a family; raises `ConfigError` with the nearest name if there is none."""
    if name in BUILT_IN:
        family = importlib.import_module(f"codeact.edge.families.{name}").FAMILY
        assert isinstance(family, Family)
        return family
    plug_in = _plug_ins().get(name)
    if plug_in is None:
        raise ConfigError(f"there is no task family {name!r} ({nearest(name, names())})")
    return _load(plug_in)


def _plug_ins() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP)}


def _load(point: EntryPoint) -> Family:
    try:
        family = point.load()
    except Exception as error:
        raise ConfigError(
            f"task family {point.name!r} is a plug-in ({point.value}) that cannot be loaded: "
            f"{type(error).__name__}: {error}"
        ) from error
    if not isinstance(family, Family):
        raise ConfigError(
            f"task family {point.name!r} is a plug-in ({point.value}) that gives "
            f"a {type(family).__name__}; it must give a codeact Family"
        )
    return family
