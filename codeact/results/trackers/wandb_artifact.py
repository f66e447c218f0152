"""The episodes of a run as an artifact of W&B, from which it can be compared elsewhere."""

import gzip
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import msgspec

from codeact.experiment.config.compose import to_yaml
from codeact.jsonl import Line, read_lines
from codeact.recordings.definition import IDENTITY
from codeact.recordings.run_folder import CONFIG, EPISODES, SUMMARY
from codeact.results.trackers.base import TrackedRun
from codeact.results.trackers.metrics import Scrubber
from codeact.results.trackers.wandb_library import library

if TYPE_CHECKING:
    import wandb

TYPE = "episodes"


def episodes_artifact(run: TrackedRun, id_: str) -> "wandb.Artifact":
    """Return the artifact ``episodes-ID``: a run folder without keys, its episodes compressed."""
    folder = run.folder.path
    artifact: wandb.Artifact = library().Artifact(f"episodes-{id_}", TYPE)
    with TemporaryDirectory(dir=folder / "wandb") as made:
        staged = Path(made)
        _write_episodes(folder / EPISODES, staged / f"{EPISODES}.gz", run.scrubber)
        (staged / CONFIG).write_text(to_yaml(run.config), encoding="utf-8")
        for name, scrubbed in ((SUMMARY, run.scrubber.texts), (IDENTITY, run.scrubber.data)):
            if (folder / name).exists():
                document = scrubbed(msgspec.json.decode((folder / name).read_bytes()))
                (staged / name).write_bytes(msgspec.json.encode(document))
        # W&B copies the files as they are added.
        artifact.add_dir(str(staged))
    return artifact


def _write_episodes(source: Path, target: Path, scrubber: Scrubber) -> None:
    """Copy whole records line by line; every text in them loses its keys."""
    # Without the time, so that the same episodes are the same version of the artifact.
    with target.open("wb") as file, gzip.GzipFile("", "wb", fileobj=file, mtime=0) as out:
        for line in read_lines(source):
            if isinstance(line, Line) and line.ended and line.content.strip():
                record = scrubber.texts(msgspec.json.decode(line.content))
                out.write(msgspec.json.encode(record) + b"\n")
