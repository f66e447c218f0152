"""Finds a preparer by name: ours, or a plug-in's entry point in the group ``codeact.preparers``."""

from codeact.datasets.families import DATA_SETS
from codeact.datasets.preparing.base import Preparer
from codeact.exceptions import ConfigError
from codeact.plugins import Registry

PREPARERS = Registry(
    group="codeact.preparers",
    sort="data set to prepare",
    wanted="a codeact.datasets.preparing.Preparer",
    part=lambda found: found if isinstance(found, Preparer) else None,
    ours={name: f"codeact.datasets.{name}.prepare:PREPARER" for name in DATA_SETS},
)


def names() -> list[str]:
    """Name every data set that can be prepared, those of plug-ins included."""
    return PREPARERS.names()


def get(name: str) -> Preparer:
    """Find a preparer; raises `ConfigError` with the nearest name if there is none."""
    return PREPARERS.get(name)


def name_for(family: str) -> str | None:
    """Name the preparer that writes a family's task files; None if there is none."""
    for name in names():
        try:
            if get(name).family == family:
                return name
        except ConfigError:
            continue  # a broken plug-in concerns those who ask for it
    return None
