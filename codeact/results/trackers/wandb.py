"""Weights & Biases as a listener: one W&B run for each run, all from this process.

The event loop only counts. A thread imports W&B, opens runs and sends numbers, so that neither a
slow start nor a lost network delays an episode. It sends one row of numbers every second or two,
however many episodes there are.
"""

import os
import queue
import shlex
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from codeact.episode.record import EpisodeRecord, episode_id
from codeact.exceptions import RunFolderError
from codeact.experiment.config.schema import WandbTracker
from codeact.experiment.events import Job, Load, NullListener
from codeact.experiment.summary import Summary, flat_summary
from codeact.files import make_private
from codeact.recordings.run_folder import RunFolder
from codeact.results.trackers.metrics import (
    COLUMNS,
    ConversationSample,
    MetricsRow,
    RunMetrics,
    Scrubber,
)
from codeact.results.trackers.wandb_library import (
    OPENING,
    UPLOADING,
    first_line,
    library,
    open_run,
    staging_in,
    why_offline,
)

if TYPE_CHECKING:
    import wandb

TRACKER = "wandb.json"

_EVERY = 2.0
"""Seconds between two rows of a run."""
_NAME = 128
"""Characters that W&B takes for a name."""

Notice = Callable[[str], None]


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
    def of(cls, job: Job, settings: WandbTracker) -> "WandbState":
        """What the folder keeps, or a new id."""
        file = job.folder.path / TRACKER
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


class WandbListener(NullListener):
    """Counts what happens in each run, and sends it every few seconds."""

    def __init__(self, tracked: Mapping[str, WandbTracker], notice: Notice) -> None:
        self._settings = tracked
        self._runs: dict[str, _TrackedRun] = {}
        self._load: Load | None = None
        self._upload = UploadThread(notice)

    def run_started(self, job: Job) -> None:
        if (settings := self._settings.get(job.name)) is None:
            return
        state = WandbState.of(job, settings)
        if state.complete and not job.owed:
            return
        state = msgspec.structs.replace(state, complete=False)
        state.write(job.folder)
        scrubber = Scrubber(job.config, os.environ)
        metrics = RunMetrics(ConversationSample(settings.trajectories, scrubber))
        _recall(metrics, job)
        self._runs[job.name] = _TrackedRun(metrics, len(job.owed))
        self._upload.add(job.name, RunDescription.of(job, settings, state, scrubber))
        if job.sweep is None:
            self._upload.put(job.name)

    def episode_finished(self, job: Job, record: EpisodeRecord) -> None:
        if (run := self._runs.get(job.name)) is None:
            return
        run.metrics.add(record)
        run.left -= 1
        run.news = True
        if time.monotonic() >= run.next:
            self._send(job.name, run)

    def load(self, load: Load) -> None:
        self._load = load
        for name, run in self._runs.items():
            if run.news:
                self._send(name, run)

    def run_finished(self, job: Job, summary: Summary) -> None:
        if (run := self._runs.pop(job.name, None)) is not None:
            self._finish(job.name, run, summary)

    def close(self) -> None:
        for name, run in self._runs.items():
            self._finish(name, run, run.metrics.summary)
        self._runs.clear()
        self._upload.close()

    def _send(self, name: str, run: "_TrackedRun") -> None:
        run.news = False
        run.next = time.monotonic() + _EVERY
        self._upload.put(name, run.metrics.measure(self._load))

    def _finish(self, name: str, run: "_TrackedRun", summary: Summary) -> None:
        final = FinalUpdate(
            run.metrics.measure(self._load, summary),
            flat_summary(summary),
            run.metrics.conversations.rows,
            complete=run.left <= 0,
        )
        self._upload.finish(name, final)


class _TrackedRun:
    """A run as the listener sees it; `left` counts the remaining episodes."""

    def __init__(self, metrics: RunMetrics, left: int) -> None:
        self.metrics = metrics
        self.left = left
        self.news = False
        self.next = 0.0


def _recall(metrics: RunMetrics, job: Job) -> None:
    """Take in what the folder holds, but for the episodes that will be played again."""
    digest = job.folder.digest
    owed = {episode_id(a.task.name, a.task.id, digest, a.sample) for a in job.owed}
    metrics.recall(job.folder.path, owed)


class RunDescription(NamedTuple):
    """What W&B gets when a run is opened; keys are removed from `texts`."""

    folder: RunFolder
    state: WandbState
    mode: str
    name: str
    group: str | None
    tags: list[str]
    config: dict[str, Any]

    @classmethod
    def of(
        cls, job: Job, settings: WandbTracker, state: WandbState, scrubber: Scrubber
    ) -> "RunDescription":
        """Describe a run. In a sweep it is named by its overrides, else by its folder."""
        name = job.folder.path.absolute().name if job.sweep is None else job.name
        group = None if job.sweep is None else Path(job.sweep).absolute().name
        return cls(
            job.folder,
            state,
            settings.mode,
            scrubber.text(name)[:_NAME],
            group and scrubber.text(group)[:_NAME],
            settings.tags,
            scrubber.data(job.config.model_dump(mode="json")),
        )

    def open(self, mode: str) -> "wandb.Run":
        return open_run(
            self.folder.path,
            mode,
            project=self.state.project,
            entity=self.state.entity,
            id=self.state.id,
            name=self.name,
            group=self.group,
            tags=self.tags,
            config=self.config,
        )


class FinalUpdate(NamedTuple):
    """What is sent at the end of a run."""

    sent: MetricsRow
    summary: dict[str, Any]
    trajectories: list[list[Any]]
    complete: bool


class UploadThread:
    """The thread that talks to W&B. It reports an error once, and nothing waits for it."""

    def __init__(self, notice: Notice) -> None:
        self._notice = notice
        self._queue: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._described: dict[str, RunDescription] = {}
        self._open: dict[str, wandb.Run] = {}
        self._offline_because: str | None = None
        self._asked = self._told = False
        self._thread = threading.Thread(target=self._work, name="wandb", daemon=True)

    def add(self, name: str, description: RunDescription) -> None:
        """Make a run known; it is opened with the first thing that is put for it."""
        self._described[name] = description
        if self._thread.ident is None:
            self._thread.start()

    def put(self, name: str, sent: MetricsRow | None = None) -> None:
        """Have a row sent."""
        self._queue.put(partial(self._log, name, sent))

    def finish(self, name: str, final: FinalUpdate) -> None:
        """Send the final update of a run, and end the run."""
        self._queue.put(partial(self._end, name, final))

    def close(self) -> None:
        """Wait until all is sent, within bounds."""
        if self._thread.ident is None:
            return
        self._queue.put(None)
        self._thread.join(OPENING + UPLOADING)
        if self._thread.is_alive():
            folders = " ".join(str(d.folder.path / "wandb") for d in self._described.values())
            self._notice(
                f"W&B does not take the rest in time; what it lacks is in {folders}: "
                "upload it with wandb sync --include-online"
            )

    def _work(self) -> None:
        try:
            while (do := self._queue.get()) is not None:
                do()
            if self._asked:
                library().teardown()
        except Exception as error:
            reason = first_line(error)
            self._notice(
                f"W&B failed and is told nothing more; the run folder has it all: {reason}"
            )

    def _log(self, name: str, sent: MetricsRow | None) -> None:
        run = self._run(name)
        if sent is not None:
            run.log(sent.row, step=sent.step)

    def _end(self, name: str, final: FinalUpdate) -> None:
        run = self._run(name)
        row: dict[str, Any] = dict(final.sent.row)
        if final.trajectories:
            row["trajectories"] = library().Table(columns=list(COLUMNS), data=final.trajectories)
        description = self._described[name]
        with staging_in(description.folder.path / "wandb"):
            run.log(row, step=final.sent.step)
        run.summary.update(final.summary)
        run.finish(exit_code=0 if final.complete else 1)
        with suppress(OSError):
            make_private(description.folder.path / "wandb")
        where = self._where(description, run)
        state = msgspec.structs.replace(description.state, where=where, complete=final.complete)
        state.write(description.folder)

    def _run(self, name: str) -> "wandb.Run":
        if (run := self._open.get(name)) is None:
            description = self._described[name]
            run = self._opened(name, description)
            self._open[name] = run
            where = self._where(description, run)
            state = msgspec.structs.replace(self._described[name].state, where=where)
            state.write(description.folder)
        return run

    def _opened(self, name: str, description: RunDescription) -> "wandb.Run":
        if not self._asked:
            self._asked = True
            self._offline_because = why_offline(description.mode)
        if self._offline_because is None:
            try:
                return description.open("online")
            except Exception as error:
                self._offline_because = first_line(error)
                # W&B keeps the id of a run that it could not open.
                state = msgspec.structs.replace(description.state, id=_new_id())
                description = description._replace(state=state)
                self._described[name] = description
        run = description.open("offline")
        if not self._told:
            self._told = True
            self._notice(self._offline_line(description))
        return run

    def _offline_line(self, description: RunDescription) -> str:
        path = description.folder.path
        folder = shlex.quote(str(path if description.group is None else path.parent))
        folder += "/wandb" if description.group is None else "/*/wandb"
        return (
            f"W&B is offline ({self._offline_because}): its files are in {folder}; "
            f"upload them with: wandb sync {folder}/offline-run-*"
        )

    def _where(self, description: RunDescription, run: "wandb.Run") -> str:
        # W&B prints a warning when an offline run is asked for its address.
        url = run.url if self._offline_because is None else None
        return url or str(description.folder.path / "wandb")
