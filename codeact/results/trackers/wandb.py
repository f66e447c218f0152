"""Weights & Biases: one W&B run for each run, all from this process.

Runs of a sweep are one group, and so are runs of the same settings; tags say which settings those
are. At the end there are success against turns as a chart, a table of readable trajectories, and
the episodes as an artifact where that is asked for.
"""

import os
import shlex
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from codeact.exceptions import RunFolderError
from codeact.experiment.config.trackers import TrackerSettings, WandbSettings
from codeact.files import make_private
from codeact.recordings.run_folder import RunFolder
from codeact.results.trackers.base import FinalUpdate, Notice, TrackedRun
from codeact.results.trackers.metrics import COLUMNS, CurvePoint, MetricsRow
from codeact.results.trackers.wandb_artifact import episodes_artifact
from codeact.results.trackers.wandb_library import (
    OPENING,
    UPLOADING,
    library,
    open_run,
    staging_in,
    why_offline,
)
from codeact.wording import first_line

if TYPE_CHECKING:
    import wandb

TRACKER = "wandb.json"
CURVE = "success_within_turns"
"""The chart of success against turns."""
_TAG = 64
"""Characters that W&B takes for a tag."""


class WandbState(msgspec.Struct, frozen=True, kw_only=True):
    """What the run folder keeps in ``wandb.json``, so that a resumed run is the same W&B run."""

    id: str
    project: str
    entity: str | None = None
    where: str = ""
    """Its address, or the folder that is still to be uploaded."""
    complete: bool = False
    """W&B has every episode, and knows that the run has ended."""

    @classmethod
    def of(cls, folder: RunFolder, settings: WandbSettings) -> "WandbState":
        """What the folder keeps, or a new id."""
        file = folder.path / TRACKER
        if not file.exists():
            return cls(id=_new_id(), project=settings.project, entity=settings.entity)
        try:
            found = msgspec.json.decode(file.read_bytes(), type=cls)
        except msgspec.MsgspecError as error:
            raise RunFolderError(
                f"{file}: is not what codeact wrote ({error}); move it away to begin a W&B run anew"
            ) from error
        return msgspec.structs.replace(found, project=settings.project, entity=settings.entity)

    def write(self, folder: RunFolder) -> None:
        text = msgspec.json.format(msgspec.json.encode(self)).decode()
        folder.write_text(TRACKER, text + "\n")


def _new_id() -> str:
    return os.urandom(6).hex()


class WandbTracker:
    """Sends each run to W&B, or keeps it in the run folder where that cannot be."""

    label = "W&B"
    patience = OPENING + UPLOADING

    def __init__(self, notice: Notice) -> None:
        self._notice = notice
        self._states: dict[Path, WandbState] = {}
        self._open: dict[Path, wandb.Run] = {}
        self._offline_because: str | None = None
        self._asked = self._told = False

    def obstacle(self, settings: TrackerSettings) -> str | None:
        """Return why it cannot be online, where it is required to be."""
        if settings.required and _own(settings).mode == "online":
            return why_offline("online")
        return None

    def begin(self, run: TrackedRun) -> bool:
        state = WandbState.of(run.folder, _own(run.settings))
        if state.complete and not run.owed:
            return False
        self._keep(run, msgspec.structs.replace(state, complete=False))
        return True

    def open(self, run: TrackedRun) -> None:
        opened = self._open[run.folder.path] = self._opened(run)
        self._keep_where(run, opened, complete=False)

    def log(self, run: TrackedRun, sent: MetricsRow) -> None:
        self._open[run.folder.path].log(sent.row, step=sent.step)

    def finish(self, run: TrackedRun, final: FinalUpdate) -> None:
        path, settings = run.folder.path, _own(run.settings)
        opened, row = self._open.pop(path), dict[str, Any](final.sent.row)
        if rows := final.trajectories[: settings.trajectories]:
            row["trajectories"] = library().Table(columns=list(COLUMNS), data=rows)
        if final.curve:
            row[CURVE] = _chart(final.curve)
        with staging_in(path / "wandb"):
            opened.log(row, step=final.sent.step)
            if settings.artifact:
                opened.log_artifact(episodes_artifact(run, self._states[path].id))
        opened.summary.update(final.summary)
        opened.finish(exit_code=0 if final.complete else 1)
        with suppress(OSError):
            make_private(path / "wandb")
        self._keep_where(run, opened, complete=final.complete)

    def close(self) -> None:
        if self._asked:
            library().teardown()

    def unsent(self, folders: Sequence[Path]) -> str:
        kept = " ".join(str(folder / "wandb") for folder in folders)
        return (
            f"W&B does not take the rest in time; what it lacks is in {kept}: "
            "upload it with wandb sync --include-online"
        )

    def _keep(self, run: TrackedRun, state: WandbState) -> None:
        self._states[run.folder.path] = state
        state.write(run.folder)

    def _keep_where(self, run: TrackedRun, opened: "wandb.Run", *, complete: bool) -> None:
        # W&B prints a warning when an offline run is asked for its address.
        url = opened.url if self._offline_because is None else None
        where = url or str(run.folder.path / "wandb")
        state = self._states[run.folder.path]
        self._keep(run, msgspec.structs.replace(state, where=where, complete=complete))

    def _opened(self, run: TrackedRun) -> "wandb.Run":
        if not self._asked:
            self._asked = True
            self._offline_because = why_offline(_own(run.settings).mode)
        if self._offline_because is None:
            try:
                return _open(run, self._states[run.folder.path], "online")
            except Exception as error:
                self._offline_because = first_line(error)
                # W&B keeps the id of a run that it could not open.
                state = self._states[run.folder.path]
                self._keep(run, msgspec.structs.replace(state, id=_new_id()))
        opened = _open(run, self._states[run.folder.path], "offline")
        if not self._told:
            self._told = True
            self._notice(self._offline_line(run))
        return opened

    def _offline_line(self, run: TrackedRun) -> str:
        path = run.folder.path
        folder = shlex.quote(str(path.parent if run.in_sweep else path))
        folder += "/*/wandb" if run.in_sweep else "/wandb"
        return (
            f"W&B is offline ({self._offline_because}): its files are in {folder}; "
            f"upload them with: wandb sync {folder}/offline-run-*"
        )


def _own(settings: TrackerSettings) -> WandbSettings:
    assert isinstance(settings, WandbSettings), "its class is named by these settings"
    return settings


def _open(run: TrackedRun, state: WandbState, mode: str) -> "wandb.Run":
    settings, labels = _own(run.settings), run.labels
    named = (f"model:{labels.model}", f"turns:{labels.turns}", f"feedback:{labels.feedback}")
    tags = [*settings.tags, *named, f"grading:{labels.grading}", f"settings:{labels.digest}"]
    return open_run(
        run.folder.path,
        mode,
        project=state.project,
        entity=state.entity,
        id=state.id,
        name=run.name,
        group=settings.group or run.group,
        # Within a sweep's group, W&B groups by this.
        job_type=run.scrubber.text(labels.name)[:_TAG],
        tags=list(dict.fromkeys(run.scrubber.text(tag)[:_TAG] for tag in tags)),
        config={**run.config, "settings": run.scrubber.data(labels._asdict())},
    )


def _chart(curve: Sequence[CurvePoint]) -> Any:
    """Return success against turns as a table with a chart of it."""
    found = library()
    table = found.Table(columns=list(CurvePoint._fields), data=[list(point) for point in curve])
    return found.plot.line(table, "turns", "rate", title="Success within so many turns")
