"""The origin of conversations: models, runs, their settings, and the selection rules."""

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from codeact.collection.scan import Scan
from codeact.collection.settings import SelectionSettings
from codeact.recordings.files import is_run
from codeact.recordings.run_folder import CONFIG, PROVENANCE
from codeact.recordings.trajectory import Experiment
from codeact.resources import data_folder

_SAID = (
    "task.sets",
    "prompt.strategy",
    "search.kind",
    "executor.kind",
    "grading.mode",
    "samples",
    "seed",
    "model.kind",
    "model.model",
    "model.revision",
    "model.sampling",
)
"""What of a run's configuration says how its episodes were played; none of it is a secret."""


class Origin(msgspec.Struct, kw_only=True):
    """The records of one experiment, and how many of them became conversations.

    `runs` are the names of its run folders, and `played` is what each of them says of its settings;
    both are empty for published recordings, whose paths say all the rest.
    """

    model: str
    feedback: str
    turn_setting: str
    settings: str
    records: int = 0
    kept: int = 0
    runs: list[str] = []
    played: list[dict[str, Any]] = []


def origins(scan: Scan) -> list[Origin]:
    """Return what was read, by experiment, in order of their names."""
    records = Counter(scan.rows["experiment"].tolist())
    folders: dict[int, list[Path]] = {}
    files = scan.rows[["experiment", "file"]]
    for experiment, file in sorted(set(map(tuple, files.tolist()))):
        if is_run(scan.files[file]):
            folders.setdefault(experiment, []).append(scan.files[file].parent)
    found = []
    for place in sorted(range(len(scan.experiments)), key=scan.experiments.__getitem__):
        one = scan.experiments[place]
        runs = folders.get(place, [])
        found.append(
            Origin(
                model=one.model,
                feedback=one.feedback,
                turn_setting=one.turn_setting,
                settings=one.settings,
                records=records[place],
                runs=[run.resolve().name for run in runs],
                played=[played for run in runs if (played := _played(run))],
            )
        )
    return found


def add_kept(found: list[Origin], kept: Mapping[Experiment, int]) -> None:
    """Add how many conversations each experiment gave."""
    counts = {
        (one.model, one.feedback, one.turn_setting, one.settings): count
        for one, count in kept.items()
    }
    for one in found:
        one.kept = counts.get((one.model, one.feedback, one.turn_setting, one.settings), 0)


def _played(run: Path) -> dict[str, Any]:
    """What a run folder says of itself; a file that it lacks or that is broken says nothing."""
    said: dict[str, Any] = {}
    config = _yaml(run / CONFIG)
    for key in _SAID:
        value: Any = config
        for part in key.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        if key == "task.sets" and isinstance(value, dict):
            said[key] = sorted(value)
        elif isinstance(value, str) and Path(value).is_absolute():
            said[key] = Path(value).name  # its path on this machine stays private
        elif value is not None:
            said[key] = value
    try:
        sessions = msgspec.json.decode((run / PROVENANCE).read_bytes())["sessions"]
        # No times: a run that was stopped and resumed is the same run.
        said["codeact"] = ", ".join(dict.fromkeys(one["codeact"] for one in sessions))
        commits = dict.fromkeys(one["git"]["commit"] for one in sessions if one.get("git"))
        if commits:
            said["commit"] = ", ".join(commits)
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        pass
    return said


def _yaml(path: Path) -> Any:
    from omegaconf import OmegaConf

    try:
        return OmegaConf.to_container(OmegaConf.load(path))
    except Exception:  # a folder without a readable configuration
        return None


def preset(settings: SelectionSettings) -> str:
    """Return the preset that settings are closest to, and each key that differs."""
    chosen = dict(_flat(settings.model_dump()))
    best: tuple[str, dict[str, Any]] | None = None
    for path in sorted(data_folder("conf").glob("selection/*.yaml")):
        theirs = dict(_flat(_yaml(path)))
        # A part that is switched off is one key here and many there.
        other = {
            key: value for key, value in chosen.items() if key not in theirs or theirs[key] != value
        }
        if best is None or len(other) < len(best[1]):
            best = (path.stem, other)
    if best is None:
        return "of its own"
    name, other = best
    words = [f"{key}={'null' if value is None else value}" for key, value in other.items()]
    return f"{name}, with {', '.join(words)}" if words else name


def _flat(document: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in document.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{before}{key}.")
        else:
            yield f"{before}{key}", value
