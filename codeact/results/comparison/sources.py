"""Which runs the sources of a comparison are: run folders, published trees, folders of either."""

import json
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from codeact.exceptions import ConfigError, RecordingError
from codeact.experiment.sweep_report import SWEEP_JSON
from codeact.recordings.files import is_run, recording_files
from codeact.recordings.index import Index
from codeact.recordings.run_folder import EPISODES
from codeact.results.comparison.runs import PlayedRun
from codeact.results.comparison.wandb_runs import SCHEME, fetched, offline_run

_MOST_RUNS = 200
_SHOWN = 8


def open_sources(sources: Sequence[str], stack: ExitStack) -> list[PlayedRun]:
    """Open the runs of all sources; the first is the baseline. Indexes are closed with `stack`.

    Of a single source all runs are compared, of a sweep in its order. One of several sources has
    to be one run. Raises `ConfigError` where there are fewer than two runs.
    """
    if not sources:
        sources = newest_two(Path())
    if len(sources) == 1:
        runs = runs_in(sources[0], stack)
        if len(runs) < 2:
            raise ConfigError(
                f"{sources[0]}: holds one run; give two of them, or a folder of several"
            )
        return runs
    return [_one_run(source, stack) for source in sources]


def _one_run(source: str, stack: ExitStack) -> PlayedRun:
    runs = runs_in(source, stack)
    if len(runs) > 1:
        names = ", ".join(run.name for run in runs[:_SHOWN]) + ", …" * (len(runs) > _SHOWN)
        raise ConfigError(
            f"{source}: holds {len(runs)} runs ({names}); give one of them, or this folder alone "
            "to compare all of its runs with the first"
        )
    runs[0].name = source
    return runs[0]


def newest_two(folder: Path) -> list[str]:
    """Return the two newest run folders in `folder` or in its ``runs``, the older one first.

    Raises `ConfigError` where there are not two.
    """
    for place in (folder, folder / "runs"):
        found = sorted(place.glob(f"*/{EPISODES}"), key=lambda path: path.stat().st_mtime)
        if len(found) >= 2:
            return [str(path.parent) for path in found[-2:]]
    raise ConfigError(
        f"{folder.resolve()} has no two run folders; give what to compare: codeact compare A B"
    )


def runs_in(source: str, stack: ExitStack) -> list[PlayedRun]:
    """Return every run at or below a source, named by its path below it."""
    if source.startswith(SCHEME):
        return [
            PlayedRun(name, stack.enter_context(Index.open(folder)), folder=folder)
            for name, folder in fetched(source).items()
        ]
    root = offline_run(Path(source)) or Path(source)
    files = recording_files(root)
    folders = list(dict.fromkeys(path.parent for path in files if is_run(path)))
    published = [path for path in files if not is_run(path)]
    if len(folders) > _MOST_RUNS:
        raise ConfigError(f"{source}: holds {len(folders)} runs, and {_MOST_RUNS} are the most")
    runs = [
        PlayedRun(_name(root, folder), stack.enter_context(Index.open(folder)), folder=folder)
        for folder in _in_order(root, folders)
    ]
    if published:
        runs += _published_runs(stack.enter_context(Index.open(root)))
    if empty := [run.name for run in runs if not len(run.episodes)]:
        raise RecordingError(f"{source}: {', '.join(empty)} holds no episode yet")
    return runs


def _published_runs(index: Index) -> list[PlayedRun]:
    """Return one run for each model, kind of feedback and turn setting of a published tree."""
    names = ("model", "feedback", "turn_setting")
    found = dict.fromkeys(index.columns(names, {"settings_digest": ""}))
    return [
        PlayedRun("/".join(kind), index, dict(zip(names, kind, strict=True)))
        for kind in sorted(found, key=lambda kind: (kind[0], kind[1] != "none", kind))
    ]


def _in_order(root: Path, folders: list[Path]) -> list[Path]:
    """Return folders in the order of the sweep that they are of, if they are of one."""
    try:
        rows = json.loads((root / SWEEP_JSON).read_bytes())
        places = {Path(row["folder"]).name: place for place, row in enumerate(rows)}
    except (OSError, ValueError, KeyError, TypeError):
        return folders
    return sorted(folders, key=lambda folder: places.get(folder.name, len(places)))


def _name(root: Path, folder: Path) -> str:
    below = folder.relative_to(root if root.is_dir() else root.parent)
    return str(below) if below != Path() else str(folder)
