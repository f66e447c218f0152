"""What a game's file says, read without the game's engine: its first words, and its kind of task.

The engine takes half a second of a processor for each game, and the training games are 3,553.
"""

import base64
import json
import re
import zlib
from typing import Any

KINDS = {
    "pick_and_place_simple": "put",
    "look_at_obj_in_light": "examine",
    "pick_clean_then_place_in_recep": "clean",
    "pick_heat_then_place_in_recep": "heat",
    "pick_cool_then_place_in_recep": "cool",
    "pick_two_obj_and_place": "puttwo",
}
"""ALFWorld's six kinds of task: how folders begin, and the published short names."""

_TASK = re.compile(r'"task"\s*:\s*\[\s*\{\s*"rhs"\s*:\s*("(?:[^"\\]|\\.)*")')
_RECEPTACLE = re.compile(r"\(receptacleatlocation (\S+) ")
_THING = re.compile(r"[^\s()]+_bar_[^\s()]+")
_ROOM = "You are in the middle of a room. Looking quickly around you, you see {}.\n{}"


def kind_of(folder: str) -> str:
    """Return the kind of task that a folder's name begins with; empty for any other."""
    return KINDS.get(folder.partition("-")[0], "")


def first_words(game: dict[str, Any]) -> str:
    """Return what a game says first: the receptacles of the room, and the task.

    Raises `ValueError` where the file says neither.
    """
    task = _TASK.search(str(game.get("grammar", "")))
    facts = str(game.get("pddl_problem", "")).lower().partition("(:init")[2].partition("(:goal")[0]
    found = sorted(set(_RECEPTACLE.findall(facts)))
    if task is None or not found:
        raise ValueError("names no task" if found else "has no receptacles")
    names = _names(facts)
    seen = [f"a {names[one]}" for one in found]
    # The engine sets a comma before the last of several, of two as well.
    room = ", ".join([*seen[:-1], f"and {seen[-1]}"]) if len(seen) > 1 else seen[0]
    return _ROOM.format(room, json.loads(task[1]))


def _names(facts: str) -> dict[str, str]:
    """Name every thing as the engine does: numbers count down in the order of the things' ids."""
    things = sorted(set(_THING.findall(facts)))
    sorts = {one: one.partition("_bar_")[0] + "basin" * ("basin" in one) for one in things}
    numbers: dict[str, int] = {}
    names: dict[str, str] = {}
    for one in reversed(things):
        numbers[sorts[one]] = numbers.get(sorts[one], 0) + 1
        names[one] = f"{sorts[one]} {numbers[sorts[one]]}"
    return names


def packed(content: bytes) -> str:
    """Return a game's file as a task has it: an eighth of the size, as text."""
    return base64.b64encode(zlib.compress(content, 9)).decode()
