"""Agendas of people in several time zones, which are published at the end."""

import re
from typing import Any

from codeact.datasets.toolbench.domains.base import Domain, entry, whole, words

_START = re.compile(r"([01]\d|2[0-3]):[0-5]\d")


class Agenda(Domain):
    """The agendas of one episode."""

    def __init__(self, data: dict[str, Any]) -> None:
        super().__init__(data)
        self._people = data["people"]
        self._offsets = data["offsets"]
        self._events = {one["id"]: dict(one) for one in data["events"]}
        self._added = 0

    def get_zone(self, person: str) -> str:
        """Return the name of the time zone in which a person lives."""
        return str(entry(self._people, person, "person"))

    def get_offset(self, zone: str) -> int:
        """Return by how many minutes the clocks of a zone are ahead of UTC; negative is behind."""
        return int(entry(self._offsets, zone, "zone"))

    def list_events(self, person: str, day: int) -> list[dict[str, str | int]]:
        """Return the events of a person on a day of the month (1 to 28), by their start.

        Each has id, title, start (HH:MM by the person's own clock) and minutes (how long it is).
        """
        entry(self._people, person, "person")
        wanted = (person, whole(day, "day"))
        found = [one for one in self._events.values() if (one["person"], one["day"]) == wanted]
        return [
            {key: one[key] for key in ("id", "title", "start", "minutes")}
            for one in sorted(found, key=lambda one: (one["start"], one["id"]))
        ]

    def add_event(self, person: str, day: int, start: str, minutes: int, title: str) -> str:
        """Add an event to a person's agenda; start is HH:MM by the person's own clock."""
        entry(self._people, person, "person")
        event = {
            "person": person,
            "day": whole(day, "day"),
            "start": _clock(start),
            "minutes": whole(minutes, "minutes"),
            "title": words(title, "title"),
        }
        self._changing()
        self._added += 1
        key = f"N{self._added}"
        self._events[key] = {"id": key, **event}
        return f"added: {key}"

    def reschedule_event(self, event_id: str, day: int, start: str) -> str:
        """Give an event another day and start (HH:MM by its person's own clock)."""
        event = entry(self._events, event_id, "event")
        new = {"day": whole(day, "day"), "start": _clock(start)}
        self._changing()
        event.update(new)
        return f"{event_id} is on day {new['day']} at {new['start']} now"

    def delete_event(self, event_id: str) -> str:
        """Delete an event."""
        entry(self._events, event_id, "event")
        self._changing()
        del self._events[event_id]
        return f"{event_id} is deleted"

    def publish_agendas(self) -> str:
        """Publish all agendas and return their code. Nothing can be changed after that."""
        fields = ("person", "day", "start", "minutes", "title")
        return self._code(sorted([one[key] for key in fields] for one in self._events.values()))


def _clock(start: object) -> str:
    if not isinstance(start, str) or not _START.fullmatch(start):
        raise ValueError(f"start must be a time such as 09:30, but is {start!r}")
    return start
