"""Finds parts by name: built-in ones, and those of other packages by their entry points."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeVar

from codeact.exceptions import ConfigError
from codeact.wording import nearest

Part = TypeVar("Part")


def resolve(name: str) -> Any:
    """Import what ``module:attribute`` names; raises what the import raises."""
    return EntryPoint(name, name, "").load()


@dataclass(frozen=True, kw_only=True)
class Registry(Generic[Part]):
    """All parts of one sort; `sort` and `wanted` are words for messages.

    `ours` maps names to ``module:attribute``, as entry points are written, and goes before the
    plug-ins of the entry point `group`; either is imported only when it is asked for. `part` makes
    the part of what an entry names, and gives None for what it must not name.
    """

    group: str
    sort: str
    wanted: str
    part: Callable[[Any], Part | None]
    ours: Mapping[str, str] = field(default_factory=dict)

    def names(self) -> list[str]:
        """Return every name that `get` accepts."""
        return sorted({*self.ours, *entry_points(group=self.group).names})

    def get(self, name: str) -> Part:
        """Return a part; raises `ConfigError` with the nearest name if there is none.

        A plug-in that cannot be loaded, or is of the wrong kind, raises it too.
        """
        if name in self.ours:
            return self._load(EntryPoint(name, self.ours[name], self.group))
        for point in entry_points(group=self.group, name=name):
            return self._load(point)
        raise ConfigError(f"there is no {self.sort} {name!r} ({nearest(name, self.names())})")

    def plug_ins(self) -> tuple[list[Part], dict[str, ConfigError]]:
        """Return every part of plug-ins, and the error of each broken one by its entry's name."""
        parts: list[Part] = []
        broken: dict[str, ConfigError] = {}
        for point in entry_points(group=self.group):
            try:
                parts.append(self._load(point))
            except ConfigError as error:
                broken[point.name] = error
        return parts, broken

    def _load(self, point: EntryPoint) -> Part:
        package = f"package {point.dist.name}, " if point.dist else ""
        place = f"{package}{point.value}, group {self.group}"
        where = f"{self.sort} {point.name!r} is a plug-in ({place}) that"
        remedy = f"it has to name {self.wanted}; mend or remove its package"
        try:
            found = point.load()
            part = self.part(found)
        except (Exception, SystemExit) as error:
            reason = f"{type(error).__name__}: {error}"
            raise ConfigError(f"{where} cannot be loaded ({reason}); {remedy}") from error
        if part is None:
            named = found if isinstance(found, type) else type(found)
            what = "the class" if named is found else "an object of type"
            raise ConfigError(f"{where} names {what} {named.__name__}; {remedy}")
        return part
