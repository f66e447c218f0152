"""What to write in place of a key or an option that there is not."""

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import Any

from omegaconf import OmegaConf

from codeact.resources import data_folder
from codeact.wording import nearest

_SHOWN = 4
"""Keys of one ending, that are suggested."""


def as_keys(group: str, value: str) -> str:
    """How to say by keys what the name of an option that is not there seems to say."""
    turns = re.fullmatch(r"max(\d+)_p(\d+)", value) if group == "turns" else None
    if turns is None:
        return ""
    steps, proposals = turns.groups()
    return f" Or give turns.max_steps={steps} turns.max_propose_solution={proposals}"


def instead_of(key: str, keys: set[str], options: dict[str, list[str]]) -> str:
    """What to give in place of a key that is not there."""
    parent, _, leaf = key.rpartition(".")
    if parent == "task.sets":
        there = sorted(one.rpartition(".")[2] for one in keys if one.rpartition(".")[0] == parent)
        return (
            f"task.sets has {', '.join(there)}; one more is "
            f'"+{key}={{path:FILE,family:NAME}}", and ~task.sets.NAME takes one out'
        )
    if whole := whole_keys(key, keys):
        return whole
    beside = [one for one in keys if one.rpartition(".")[0] == parent]
    others = [one for one in (*keys, *options) if not key.startswith(f"{one}.")]
    hint = nearest(key, others, ())
    if hint.startswith("did you mean"):
        return hint
    near = difflib.get_close_matches(leaf, {one.rpartition(".")[2] for one in keys}, n=1)
    if near and (whole := whole_keys(near[0], keys)):
        return whole
    return nearest(key, (), beside or [one for one in keys if "." not in one])


def whole_keys(end: str, keys: Iterable[str]) -> str:
    """The keys that end like this, as a suggestion; of the options that are not chosen, too."""
    found = sorted(one for one in keys if one.endswith(f".{end}"))
    if found:
        others = f" or {len(found) - _SHOWN} others" if len(found) > _SHOWN else ""
        return f"did you mean {' or '.join(map(repr, found[:_SHOWN]))}{others}?"
    elsewhere: dict[str, list[str]] = {}
    for file in sorted(data_folder("conf").glob("*/*.yaml")):
        group, tree = file.parent.name, OmegaConf.to_container(OmegaConf.load(file))
        for one in flat_keys(tree):
            if f"{group}.{one}".endswith(f".{end}"):
                elsewhere.setdefault(f"{group}.{one}", []).append(f"{group}={file.stem}")
    said = [f"{key!r} with {', '.join(chosen)}" for key, chosen in sorted(elsewhere.items())]
    return f"did you mean {' or '.join(said[:_SHOWN])}?" if said else ""


def flat_keys(tree: Any, prefix: str = "") -> Iterable[str]:
    """Every dotted key of a nested dict, inner nodes included."""
    if isinstance(tree, Mapping):
        for key, value in tree.items():
            path = f"{prefix}{key}"
            yield path
            yield from flat_keys(value, path + ".")
