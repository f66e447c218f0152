"""A small household of our own, as an engine for ALFWorld's server: no textworld, no game files.

Its game is JSON: ``{"places": {"desk 1": {"holds": ["pen 1"], "open": null}}, "goal": {…}}``, where
`open` is null for what cannot be closed. The goal's ``do`` is what has to be done to an object of
the sort ``object`` before it is ``count`` times in or on a ``place`` (none: under a lamp). A game
may have ``trouble``, which its command ``look`` then makes; a path is the trouble of dying once.
"""

import json
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

USES = {"clean": "sinkbasin", "heat": "microwave", "cool": "fridge"}


def listed(things: list[str]) -> str:
    """Things as the game lists them: by name, and by number from the highest down."""
    ordered = sorted(things, key=lambda thing: (thing.split()[0], -int(thing.split()[1])))
    named = [f"a {thing}" for thing in ordered]
    return ", ".join([*named[:-1], f"and {named[-1]}"]) if len(named) > 1 else "".join(named)


def first_words(game: dict[str, Any]) -> str:
    """What the game says first; a task's prompt ends with it."""
    room = f"Looking quickly around you, you see {listed(list(game['places']))}."
    return f"You are in the middle of a room. {room}\nYour task is to: {game['task']}"


class Household:
    """One game; at most one thing is held, and what is far away cannot be touched."""

    def load(self, packed: str) -> str:
        self.game = json.loads(packed)
        self.places = self.game["places"]
        self.here, self.held, self.lit = "", "", False
        self.done: set[tuple[str, str]] = set()
        return first_words(self.game)

    def command(self, text: str) -> tuple[str, bool]:
        if text == "look" and "trouble" in self.game:
            with suppress(FileExistsError):
                self._trouble(self.game["trouble"])
        verb, _, rest = text.replace("go to ", "goto ").partition(" ")
        for link in (" in/on ", " from ", " with "):
            rest = rest.replace(link, "|")
        act = getattr(self, f"do_{verb}", None)
        said = act(*rest.split("|")) if act else ""
        return said or "Nothing happens.", self._won()

    def _trouble(self, trouble: str) -> None:
        if trouble.startswith("/"):
            # Once: a game cannot write, but it can leave an empty file.
            Path(trouble).touch(exist_ok=False)
            os._exit(3)
        if trouble == "hang":
            time.sleep(600)
        if trouble == "exit":
            os._exit(3)
        if trouble == "memory":
            self.hoard = bytearray(1 << 40)
        if trouble == "spin":
            while True:
                pass
        if trouble == "garbage":
            for number in range(3, 64):
                with suppress(OSError):
                    os.write(number, b"garbage\n")

    def _view(self) -> str:
        place = self.places[self.here]
        if place["open"] is False:
            return f"The {self.here} is closed."
        things = listed(place["holds"]) or "nothing"
        if place["open"]:
            return f"The {self.here} is open. In it, you see {things}."
        return f"On the {self.here}, you see {things}."

    def _reaches(self, place: str) -> bool:
        return place == self.here and self.places[place]["open"] is not False

    def do_goto(self, place: str) -> str:
        if place not in self.places or place == self.here:
            return ""
        self.here = place
        return self._view()

    def do_look(self, _: str) -> str:
        return f"You are facing the {self.here}. Next to it, you see nothing." if self.here else ""

    def do_open(self, place: str) -> str:
        if place != self.here or self.places[place]["open"] is not False:
            return ""
        self.places[place]["open"] = True
        return f"You open the {place}. {self._view()}"

    def do_close(self, place: str) -> str:
        if place != self.here or not self.places[place]["open"]:
            return ""
        self.places[place]["open"] = False
        return f"You close the {place}."

    def do_take(self, thing: str, place: str) -> str:
        if self.held or not self._reaches(place) or thing not in self.places[place]["holds"]:
            return ""
        self.places[place]["holds"].remove(thing)
        self.held = thing
        return f"You pick up the {thing} from the {place}."

    def do_put(self, thing: str, place: str) -> str:
        if thing != self.held or not self._reaches(place):
            return ""
        self.places[place]["holds"].append(thing)
        self.held = ""
        return f"You put the {thing} in/on the {place}."

    def _do_with(self, verb: str, thing: str, place: str) -> str:
        if thing != self.held or place != self.here or not place.startswith(USES[verb]):
            return ""
        self.done.add((verb, thing))
        return f"You {verb} the {thing} using the {place}."

    def do_clean(self, thing: str, place: str) -> str:
        return self._do_with("clean", thing, place)

    def do_heat(self, thing: str, place: str) -> str:
        return self._do_with("heat", thing, place)

    def do_cool(self, thing: str, place: str) -> str:
        return self._do_with("cool", thing, place)

    def do_use(self, thing: str) -> str:
        if not self.here or thing not in self.places[self.here]["holds"]:
            return ""
        self.lit = True
        return f"You turn on the {thing}."

    def _won(self) -> bool:
        goal = self.game["goal"]
        if goal["do"] == "examine":
            return self.lit and self.held.startswith(goal["object"])
        there = [
            thing
            for place, found in self.places.items()
            for thing in found["holds"]
            if place.split()[0] == goal["place"] and thing.split()[0] == goal["object"]
            if not goal["do"] or (goal["do"], thing) in self.done
        ]
        return len(there) >= int(goal.get("count", 1))
