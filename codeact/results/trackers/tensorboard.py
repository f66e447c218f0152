"""TensorBoard's event files in the run folder; TensorBoard itself need not be there to write them.

Beside the scalars of a run there are: its rate with its interval, as a chart with a margin; success
against turns, with turns as steps; its configuration as text; and its settings as hyperparameters,
by which TensorBoard's table compares runs.
"""

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codeact.experiment.config.compose import to_yaml
from codeact.experiment.config.trackers import TrackerSettings
from codeact.files import make_private, private_folder
from codeact.results.trackers.base import FinalUpdate, Notice, TrackedRun
from codeact.results.trackers.metrics import MetricsRow

if TYPE_CHECKING:
    from tensorboardX import SummaryWriter

FOLDER = "tensorboard"
_ENDED = "ended"
"""A file in it that says that the event files have all of a complete run."""
CURVE = "success_within_turns"


class TensorboardTracker:
    """Writes the event files of each run; one for each session."""

    label = "TensorBoard"
    patience = 30.0

    def __init__(self, notice: Notice) -> None:
        self._notice = notice
        self._writers: dict[Path, SummaryWriter] = {}

    def obstacle(self, settings: TrackerSettings) -> str | None:
        """Return which package is missing, if so."""
        if find_spec("tensorboardX") is None:
            return 'the package tensorboardX is missing: pip install "codeact[tensorboard]"'
        return None

    def begin(self, run: TrackedRun) -> bool:
        return bool(run.owed) or not (run.folder.path / FOLDER / _ENDED).exists()

    def open(self, run: TrackedRun) -> None:
        from tensorboardX import SummaryWriter

        folder = run.folder.path / FOLDER
        private_folder(folder)
        (folder / _ENDED).unlink(missing_ok=True)
        writer = self._writers[run.folder.path] = SummaryWriter(str(folder))
        writer.add_custom_scalars(
            {
                "success": {
                    "success_rate": ["Margin", ["success_rate", *_BOUNDS]],
                    CURVE: ["Margin", [f"{CURVE}/{one}" for one in ("rate", "low", "high")]],
                }
            }
        )
        writer.add_text("config", _as_code(to_yaml(run.config)))
        _add_settings(writer, run.labels._asdict())

    def log(self, run: TrackedRun, sent: MetricsRow) -> None:
        writer = self._writers[run.folder.path]
        for tag, value in sent.row.items():
            writer.add_scalar(tag, value, sent.step)
        writer.flush()

    def finish(self, run: TrackedRun, final: FinalUpdate) -> None:
        self.log(run, final.sent)
        writer = self._writers.pop(run.folder.path)
        for point in final.curve:
            for name in ("rate", "low", "high"):
                writer.add_scalar(f"{CURVE}/{name}", getattr(point, name), point.turns)
        writer.add_text("summary", _as_code(to_yaml(final.summary)))
        writer.close()
        folder = run.folder.path / FOLDER
        if final.complete:
            (folder / _ENDED).touch()
        make_private(folder)

    def close(self) -> None:
        for writer in self._writers.values():
            writer.close()

    def unsent(self, folders: Sequence[Path]) -> str:
        return f"TensorBoard's files are not complete: {', '.join(map(str, folders))}"


_BOUNDS = ("success_rate_low", "success_rate_high")


def _as_code(text: str) -> str:
    """Have Markdown, which TensorBoard shows, keep the lines as they are."""
    return "".join(f"    {line}\n" for line in text.splitlines())


def _add_settings(writer: "SummaryWriter", labels: Mapping[str, Any]) -> None:
    """Give the run a row in the table of hyperparameters, with its success rate."""
    from tensorboardX.summary import hparams

    for summary in hparams(dict(labels), {"success_rate": 0.0}):
        writer.file_writer.add_summary(summary)
