"""The runs of a sweep: which folder each one has, and what one sweep cannot mix.

A run's folder is named by its overrides, sorted, without those that do not change what is played.
So it is found again when the sweep grows, or when its overrides come in another order.
"""

import hashlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from codeact.episode.settings import Settings
from codeact.exceptions import ConfigError
from codeact.experiment.config.schema import RunConfig
from codeact.experiment.identity import is_configured_like
from codeact.recordings.run_folder import EPISODES

_LONGEST_NAME = 200
"""Bytes; file systems allow 255."""
_EXECUTOR = frozenset({"kind", "image", "preload"})


class SweepRun(NamedTuple):
    """A run of a sweep: `name` is what sets it apart from the others, `path` is its folder."""

    name: str
    path: Path


def sweep_runs(parent: Path, jobs: Sequence[tuple[tuple[str, ...], RunConfig]]) -> list[SweepRun]:
    """Return the runs of a sweep in its order; raises `ConfigError` for runs that do not fit."""
    _refuse_two_computes([config for _, config in jobs])
    given = [_by_key(overrides) for overrides, _ in jobs]
    common = set(given[0].items()).intersection(*(one.items() for one in given[1:]))
    found = []
    for words, (_, config) in zip(given, jobs, strict=True):
        varying = {key for key, word in words.items() if (key, word) not in common}
        if len(jobs) == 1:
            varying = set()
        decisive = [
            w for key, w in sorted(words.items()) if key in varying or _matters(config, key)
        ]
        name = _folder_name(decisive)
        shown = ",".join(words[key] for key in sorted(varying)) or name
        earlier = [_folder_name([words[key] for key in words if key in varying]), "run"]
        found.append(SweepRun(shown, _path(parent, name, earlier, config)))
    if repeated := [str(path) for path, n in Counter(c.path for c in found).items() if n > 1]:
        raise ConfigError(
            f"this sweep has the same run more than once, in {', '.join(repeated)}: give every "
            "value once"
        )
    return found


def _refuse_two_computes(configs: Sequence[RunConfig]) -> None:
    first = configs[0].compute
    for other in configs[1:]:
        if other.compute != first:
            there, here = first.model_dump(), other.compute.model_dump()
            keys = [key for key in there if key in here and there[key] != here[key]]
            differing = ", ".join(f"compute.{k}={there[k]} and {here[k]}" for k in keys)
            raise ConfigError(
                f"all runs of a sweep are played in one place, so compute has to be the same in "
                f"all of them, not {differing}: give one value, or one command for each"
            )


def _by_key(overrides: Sequence[str]) -> dict[str, str]:
    """Return the overrides by dotted key, the last of each, without Hydra's own."""
    found = {}
    for word in overrides:
        group = word.lstrip("+~").partition("=")[0]
        key = group.partition("@")[2] or group.replace("/", ".")
        if key != "hydra" and not key.startswith("hydra."):
            found[key] = word.lstrip("+")
    return found


def _matters(config: RunConfig, key: str) -> bool:
    """Whether an override changes what is played: which tasks, or what an episode is."""
    first, *rest = key.split(".")
    if first == "task":
        return key.rpartition(".")[2] != "path"
    if first == "executor" and (not rest or rest[0] in _EXECUTOR):
        return True
    if key in ("search.path", "continue"):  # what lies there counts, not where
        return False
    node: object = config
    for name in (first, *rest):
        if not isinstance(node, Settings):
            return True
        if name in node.incidental:
            return False
        node = getattr(node, name, None)
    return True


def _folder_name(words: Sequence[str]) -> str:
    name = ",".join(words).replace("/", "_").replace("\0", "_") or "run"
    if len(name.encode()) <= _LONGEST_NAME:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:12]
    return name.encode()[: _LONGEST_NAME - 16].decode("utf-8", "ignore") + f"...{digest}"


def _path(parent: Path, name: str, earlier: Sequence[str], config: RunConfig) -> Path:
    """Return a run's folder; one that an older codeact named differently keeps its name."""
    path = parent / name
    if not path.exists():
        for old in earlier:
            if (parent / old / EPISODES).exists() and is_configured_like(parent / old, config):
                return parent / old
    return path
