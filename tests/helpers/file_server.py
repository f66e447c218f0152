"""Serves files on loopback as a host of data sets does, with ranges and with faults."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote


@dataclass
class Served:
    """One file, and how it is served.

    Each response ends after the next number of `cuts`, if there is one left. `statuses` are those
    of the first responses, which then have no file.
    """

    content: bytes
    ranges: bool = True
    version: str = '"1"'
    length: bool = True
    cuts: list[int] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)


class FileServer:
    """The files by their paths, and every request: its path and its headers."""

    def __init__(self, files: dict[str, Served | bytes]) -> None:
        self.files = {
            path: one if isinstance(one, Served) else Served(one) for path, one in files.items()
        }
        self.seen: list[tuple[str, dict[str, str]]] = []
        self.address = ""

    @property
    def ranges(self) -> list[str | None]:
        """The range of each request so far, None for a whole file."""
        return [headers.get("Range") for _, headers in self.seen]


@contextmanager
def file_server(files: dict[str, Any]) -> Iterator[FileServer]:
    """Serve while the context is open."""
    served = FileServer(files)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            # By a proxy's client the whole address is asked for.
            path = unquote(self.path.partition("://")[2].partition("/")[2] or self.path.lstrip("/"))
            served.seen.append((path, dict(self.headers)))
            self.close_connection = True
            one = served.files.get(path)
            if one is None:
                self.send_error(404)
            elif one.statuses and (status := one.statuses.pop(0)) != 200:
                self.send_response(status)
                for name, value in one.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "0")
                self.end_headers()
            else:
                self.send(one)

        def send(self, one: Served) -> None:
            start = 0
            wanted = self.headers.get("Range", "")
            same = self.headers.get("If-Range") in (None, one.version)
            if one.ranges and same and wanted.startswith("bytes="):
                start = int(wanted.removeprefix("bytes=").rstrip("-"))
            size = len(one.content)
            if start and start >= size:
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{size}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
            if one.version:
                self.send_header("ETag", one.version)
            for name, value in one.headers.items():
                self.send_header(name, value)
            if one.length:
                self.send_header("Content-Length", str(size - start))
            self.end_headers()
            body = one.content[start:]
            self.wfile.write(body[: one.cuts.pop(0)] if one.cuts else body)

        def log_message(self, *words: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        served.address = f"http://127.0.0.1:{running.server_port}"
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield served
        finally:
            running.shutdown()
            thread.join()
