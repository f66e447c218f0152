"""A data-set hub on loopback: what the library ``datasets`` asks of one to stream a data set."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

COMMIT = "c0ffee" + 34 * "0"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    name: str
    files: dict[str, bytes]

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        about, content = f"/api/datasets/{self.name}", f"/datasets/{self.name}/resolve/{COMMIT}/"
        if path in (about, f"{about}/revision/{COMMIT}"):
            siblings = [{"rfilename": file} for file in self.files]
            known = {"id": self.name, "sha": COMMIT, "siblings": siblings, "tags": []}
            self.reply(200, json.dumps({**known, "private": False}).encode())
        elif path.startswith(f"{about}/tree/{COMMIT}"):
            folder = path.removeprefix(f"{about}/tree/{COMMIT}").strip("/")
            entries = [
                {"type": "file", "path": file, "size": len(self.files[file]), "oid": ""}
                for file in self.files
                if file.rpartition("/")[0] == folder
            ]
            if not folder:
                folders = sorted({file.partition("/")[0] for file in self.files if "/" in file})
                entries += [{"type": "directory", "path": path, "oid": ""} for path in folders]
            self.reply(200, json.dumps(entries).encode())
        elif (file := path.removeprefix(content)) in self.files:
            self.reply_part(self.files[file])
        else:
            missing = "EntryNotFound" if path.startswith(content) else "RepoNotFound"
            self.reply(404, b"{}", {"X-Error-Code": missing})

    def reply_part(self, content: bytes) -> None:
        headers = {"ETag": f'"{len(content)}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
        wanted = self.headers.get("Range")
        if wanted is None or self.command == "HEAD":
            self.reply(200, content, headers)
            return
        first, _, last = wanted.removeprefix("bytes=").partition("-")
        part = content[int(first) : int(last or len(content)) + 1]
        end = int(first) + len(part) - 1
        headers["Content-Range"] = f"bytes {first}-{end}/{len(content)}"
        self.reply(206, part, headers)

    def reply(self, status: int, content: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *words: object) -> None:
        pass


@contextmanager
def fake_hub(name: str, folder: Path) -> Iterator[str]:
    """Serve a folder as the hub's data set `name`; gives the address."""
    files = {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
    handler = type("Handler", (_Handler,), {"name": name, "files": files})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
