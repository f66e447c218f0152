"""Reads what W&B keeps offline; there is no reader of its own for it.

A ``.wandb`` file is a header of seven bytes and LevelDB log blocks: 32 KiB each, of fragments with
a header of crc32 (4 bytes), length (2) and type (1: whole, 2: first, 3: middle, 4: last).
"""

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

BLOCK = 1 << 15
WHOLE, FIRST, MIDDLE, LAST = 1, 2, 3, 4


def fragments(data: bytes) -> Iterator[bytes]:
    """Every record's bytes, put together from its fragments."""
    position, parts = 7, b""
    while position + 7 <= len(data):
        left = BLOCK - position % BLOCK
        if left < 7:
            position += left
            continue
        _, size, kind = struct.unpack_from("<IHB", data, position)
        if kind == 0:
            position += left
            continue
        assert kind in (WHOLE, FIRST, MIDDLE, LAST), f"type {kind} at {position}"
        parts += data[position + 7 : position + 7 + size]
        position += 7 + size
        if kind in (WHOLE, LAST):
            yield parts
            parts = b""
    assert not parts, "the last record is cut off"


class OfflineRun:
    """One offline session of one run."""

    def __init__(self, folder: Path) -> None:
        from wandb.proto.wandb_internal_pb2 import Record

        self.folder = folder
        self.history: list[dict[str, Any]] = []
        self.summary: dict[str, Any] = {}
        self.config: dict[str, Any] = {}
        self.exit_code: int | None = None
        self.charts: dict[str, dict[str, Any]] = {}
        self.artifacts: dict[str, dict[str, Path]] = {}
        """By type, where the files of each lie until they are uploaded, by name."""
        (file,) = folder.glob("*.wandb")
        for data in fragments(file.read_bytes()):
            record = Record()
            record.ParseFromString(data)
            self._take(record)

    def _take(self, record: Any) -> None:
        match record.WhichOneof("record_type"):
            case "run":
                run = record.run
                self.id, self.name, self.group = run.run_id, run.display_name, run.run_group
                self.project, self.job_type, self.tags = run.project, run.job_type, set(run.tags)
                self.config = _items(run.config.update)
            case "history":
                self.history.append(_items(record.history.item))
            case "summary":
                self.summary |= _items(record.summary.update)
            case "config":
                for key, value in _items(record.config.update).items():
                    if key.startswith("_wandb/visualize/"):
                        self.charts[key.rpartition("/")[2]] = value
            case "artifact":
                files = {
                    one.path: Path(one.local_path) for one in record.artifact.manifest.contents
                }
                self.artifacts[record.artifact.type] = files
            case "exit":
                self.exit_code = record.exit.exit_code

    @property
    def table(self) -> dict[str, Any]:
        """The table of trajectories."""
        return self.table_of("trajectories")

    def table_of(self, key: str) -> dict[str, Any]:
        """The table that was logged under a key."""
        (file,) = self.folder.glob(f"files/media/table/{key}_*.json")
        table: dict[str, Any] = json.loads(file.read_text())
        return table


def _items(items: Any) -> dict[str, Any]:
    """Values by key; the key of nested data is joined with slashes."""
    return {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items}


def offline_runs(folder: Path) -> list[OfflineRun]:
    """The sessions of a run folder, the first one first."""
    found = sorted(folder.glob("wandb/offline-run-*"), key=lambda f: f.stat().st_ctime_ns)
    return [OfflineRun(path) for path in sorted(found, key=lambda f: f.name)]
