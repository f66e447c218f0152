"""Where the games are in the folders of ``alfworld-download``, and what their files hold."""

from pathlib import Path
from typing import Any

import msgspec

from codeact.datasets.alfworld.pddl import kind_of
from codeact.datasets.preparing.base import Choice, Journal
from codeact.datasets.preparing.raw import Raw

PUBLISHED_SPLIT = "train"
_SPLITS = ("train", "valid_seen", "valid_unseen")
_PLACES = ("json_2.1.1/{}", "*/json_2.1.1/{}", "{}")
_GAME = "*/*/game.tw-pddl"


def solvable_files(raw: Raw, choice: Choice, journal: Journal) -> list[Path]:
    """Return the solvable games of the chosen splits; raises `TaskFileError` if none."""
    found = [path for split in _splits(raw, choice, journal) for path in _files(raw, split)]
    # Sliced things exist in text, but nobody can slice there.
    playable = [p for p in found if kind_of(p.parts[-3]) and "Sliced" not in p.parts[-3]]
    journal.step("of the six kinds, with whole objects", len(found), len(playable))
    solvable = [path for path in playable if decoded(raw, path, journal).get("solvable")]
    journal.step("solvable", len(playable), len(solvable))
    return solvable


def decoded(raw: Raw, path: Path, journal: Journal) -> dict[str, Any]:
    """Return the game in a file; empty, told to the journal, where there is none."""
    try:
        return msgspec.json.decode(raw.content(path), type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        journal.refuse(str(path), f"is not valid JSON: {error}")
        return {}


def _splits(raw: Raw, choice: Choice, journal: Journal) -> list[str]:
    wanted = list(_SPLITS if choice.levels is None else choice.levels)
    there = [split for split in _SPLITS if _patterns(raw, split)]
    if choice.levels is None:
        return there
    if wanted == [PUBLISHED_SPLIT] and len(there) == 1 and there != wanted:
        journal.note(f"there is no split {wanted[0]}; {there[0]}, the only one, is taken")
        return there
    return wanted


def _patterns(raw: Raw, split: str) -> list[str]:
    return [f"{place.format(split)}/{_GAME}" for place in _PLACES if raw.has(place.format(split))]


def _files(raw: Raw, split: str) -> list[Path]:
    return raw.find(*_patterns(raw, split) or [f"{_PLACES[0].format(split)}/{_GAME}"])
