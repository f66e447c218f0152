"""The page as a folder that opens from disk: its data are scripts, which a browser loads there."""

from pathlib import Path
from typing import Any

import msgspec

from codeact.exceptions import ConfigError
from codeact.folders import whole_folder
from codeact.view.api import state_of
from codeact.view.guard import POLICY
from codeact.view.questions import EpisodeQuestion
from codeact.view.runs import ViewedRuns
from codeact.view.server import PAGE, page_file
from codeact.view.transcript import ViewedEpisode, transcript_of

_FILE_BYTES = 1 << 20
"""Of a file of episodes, about: it is loaded whole when one of them is read."""
_IN_HEADERS = ("frame-ancestors",)
"""Directives that a page's own element cannot give."""


def write_export(runs: ViewedRuns, out: Path) -> int:
    """Write the page with all episodes; returns their number. Raises `ConfigError`."""
    if not len(runs):
        raise ConfigError(f"there are no recorded episodes in {', '.join(runs.sources)}")
    with whole_folder(out) as folder:
        data = folder / "data"
        data.mkdir()
        for name in PAGE:
            content = page_file(name)
            (folder / name).write_bytes(_of_export(content) if name == PAGE[0] else content)
        episodes = _Files(data)
        rows: dict[str, Any] = {}
        places: dict[str, list[tuple[int, int]]] = {}
        for run in runs:
            _, rows[run.name] = run.rows(EpisodeQuestion({}, "", []), 0, -1)
            places[run.name] = [
                episodes.add(transcript_of(run.index.read(row.key), row.key))
                for row in rows[run.name]
            ]
        episodes.close()
        index = {"state": state_of(runs, fixed=True), "rows": rows, "places": places}
        _write(data / "index.js", "index", msgspec.json.encode(index))
        return sum(map(len, places.values()))


class _Files:
    """Files of episodes, each begun when the one before it is full."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._number = self._size = 0
        self._held: list[bytes] = []

    def add(self, transcript: ViewedEpisode) -> tuple[int, int]:
        """Add an episode; returns the number of its file, and its place in it from 0 on."""
        line = msgspec.json.encode(transcript)
        self._held.append(line)
        self._size += len(line)
        place = self._number, len(self._held) - 1
        if self._size >= _FILE_BYTES:
            self.close()
        return place

    def close(self) -> None:
        if self._held:
            name = f"episodes-{self._number}"
            _write(self._folder / f"{name}.js", name, b"[" + b",\n".join(self._held) + b"]")
            self._number, self._size = self._number + 1, 0
            self._held.clear()


def _write(file: Path, name: str, value: bytes) -> None:
    """Write a script that hands a value to the page: JSON is JavaScript."""
    file.write_bytes(b'codeactData("' + name.encode() + b'", ' + value + b");\n")


def _of_export(page: bytes) -> bytes:
    """Return the page's markup, which says itself what it is and what it may load."""
    policy = "; ".join(one for one in POLICY.split("; ") if not one.startswith(_IN_HEADERS))
    policy = policy.replace("trusted-types 'none'", "trusted-types codeact-data")
    meta = f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
    marked = page.replace(b'<html lang="en">', b'<html lang="en" data-export="true">')
    return marked.replace(b"<head>", b"<head>\n    " + meta.encode())
