"""Runs at W&B: their episodes, which `tracker.artifact=true` uploads, as run folders here.

An address is ``wandb://ENTITY/PROJECT/NAME``: a run, by its id or the name it shows, or a group of
runs. What was downloaded is kept in the user's cache folder, by the artifact's digest.
"""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from codeact.exceptions import ConfigError, RecordingError
from codeact.recordings.run_folder import EPISODES

SCHEME = "wandb://"
ARTIFACT = "episodes"
"""The type of the artifact that has a run's episodes."""


class UploadedEpisodes(Protocol):
    """What is used of W&B's artifact."""

    type: str
    digest: str

    def download(self, root: str) -> str: ...


class UploadedRun(Protocol):
    """What is used of W&B's run."""

    id: str
    name: str
    summary: Any

    def logged_artifacts(self) -> Iterable[UploadedEpisodes]: ...


class PublicApi(Protocol):
    """What is used of W&B's public API."""

    def runs(self, path: str, filters: dict[str, Any]) -> Iterable[UploadedRun]: ...


class WandbAddress(NamedTuple):
    """Where runs are at W&B."""

    project: str
    name: str

    @classmethod
    def parse(cls, source: str) -> "WandbAddress":
        """Take an address apart; raises `ConfigError`."""
        parts = source.removeprefix(SCHEME).split("/")
        if len(parts) != 3 or not all(parts):
            raise ConfigError(f"{source}: is no address; give {SCHEME}ENTITY/PROJECT/RUN-OR-GROUP")
        return cls(f"{parts[0]}/{parts[1]}", parts[2])

    def __str__(self) -> str:
        return f"{SCHEME}{self.project}/{self.name}"


def fetched(source: str, api: PublicApi | None = None) -> dict[str, Path]:
    """Return a folder of every run at an address, by the run's name there.

    Raises `ConfigError` for an address without runs, and `RecordingError` where W&B cannot be
    reached or a run's episodes were not uploaded.
    """
    address = WandbAddress.parse(source)
    try:
        found = _runs(address, api or _public_api())
        return {run.name: _episodes_of(address, run) for run in found}
    except (ConfigError, RecordingError):
        raise
    except Exception as error:  # of the network, of the account, of W&B itself
        raise RecordingError(f"{address}: W&B gave no answer: {error}") from error


def _runs(address: WandbAddress, api: PublicApi) -> list[UploadedRun]:
    """Return the run of that id or shown name, else the runs of that group."""
    for key in ("name", "display_name", "group"):  # W&B's own word for the id is name
        if found := list(api.runs(address.project, filters={key: address.name})):
            return found
    raise ConfigError(f"{address}: W&B has no run and no group of that name there")


def _episodes_of(address: WandbAddress, run: UploadedRun) -> Path:
    """Download a run's newest episodes, unless they are here already."""
    uploaded = [one for one in run.logged_artifacts() if one.type == ARTIFACT]
    if not uploaded:
        rate = run.summary.get("success_rate")
        said = "" if rate is None else f" Its summary says {rate:.1%} success."
        raise RecordingError(
            f"{address}: run {run.name} has no artifact of its episodes, and without them nothing "
            f"can be paired; play with tracker.artifact=true, or compare run folders.{said}"
        )
    newest = uploaded[-1]
    folder = _cache() / address.project / run.id / newest.digest.replace("/", "_")
    if not (folder / f"{EPISODES}.gz").exists():
        newest.download(root=str(folder))
    return folder


def _cache() -> Path:
    cache = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    return Path(cache) / "codeact" / "wandb"


def _public_api() -> PublicApi:
    from codeact.results.trackers.wandb_library import library

    api: PublicApi = library().Api()
    return api


def offline_run(source: Path) -> Path | None:
    """Return the run folder that an offline folder of W&B (``RUN/wandb/offline-run-*``) is in.

    None for any other path; raises `ConfigError` where it was taken out of its run folder.
    """
    if not source.name.startswith("offline-run-"):
        return None
    folder = source.resolve().parents[1]
    if (folder / EPISODES).exists():
        return folder
    raise ConfigError(
        f"{source}: its run folder is not around it; give the run folder, or upload it by wandb "
        f"sync and give {SCHEME}ENTITY/PROJECT/RUN"
    )
