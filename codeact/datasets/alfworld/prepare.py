"""ALFWorld: the solvable games of the splits that `levels` names; published is `train`.

A task's id is its game's folder, as published. Its reference is the walkthrough ``gt_traj.txt``,
where the archive has one; no answer is compared with it.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from codeact.datasets.alfworld.archive import PUBLISHED_SPLIT, decoded, solvable_files
from codeact.datasets.alfworld.pddl import first_words, kind_of, packed
from codeact.datasets.preparing.base import Choice, Journal, Made, Preparer
from codeact.datasets.preparing.drawing import drawn
from codeact.datasets.preparing.raw import Raw

_PROMPT = "Interact with a household to solve a task. \n{}"
_NEEDED = ("pddl_domain", "grammar", "pddl_problem")


def _read(raw: Raw, choice: Choice, journal: Journal) -> Iterator[Made]:
    paths = solvable_files(raw, choice, journal)
    if choice.sample is not None:
        found, paths = len(paths), drawn(paths, choice.sample, choice.seed)
        journal.step("sample", found, len(paths))
    for path in paths:
        try:
            row = _row(raw, path, decoded(raw, path, journal))
        except (KeyError, ValueError) as error:
            journal.refuse(str(path), f"is no game: {error}")
        else:
            yield Made("alfworld", row, str(path))


def _row(raw: Raw, path: Path, game: dict[str, Any]) -> dict[str, Any]:
    needed = {name: game[name] for name in _NEEDED}
    walkthrough = path.with_name("gt_traj.txt")
    return {
        "id": "/".join(path.parts[-3:-1]),
        "prompt": _PROMPT.format(first_words(game)),
        "reference": raw.text(walkthrough) if walkthrough.exists() else "",
        "task_type": kind_of(path.parts[-3]),
        "game": packed(msgspec.json.encode(needed)),
    }


PREPARER = Preparer(
    name="alfworld",
    family="alfworld",
    source="ALFWorld, alfworld-download: json_2.1.1/<split>/<task>/<trial>/game.tw-pddl",
    licence="MIT",
    read=_read,
    choice=Choice(levels=(PUBLISHED_SPLIT,)),
)
