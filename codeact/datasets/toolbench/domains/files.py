"""A store of text files in folders, which is sealed at the end."""

from typing import Any

from codeact.datasets.toolbench.domains.base import Domain, entry, words


class Files(Domain):
    """The file store of one episode. A folder is there while a file is in it."""

    def __init__(self, data: dict[str, Any]) -> None:
        super().__init__(data)
        self._files: dict[str, str] = dict(data["files"])

    def list_folder(self, path: str) -> list[str]:
        """Return the names in a folder, such as "/notes"; those of folders end with "/"."""
        folder = words(path, "path").rstrip("/") + "/"
        inside = [name.removeprefix(folder) for name in self._files if name.startswith(folder)]
        if not inside:
            raise ValueError(f"there is no folder {path!r}")
        return sorted({name if "/" not in name else name.split("/")[0] + "/" for name in inside})

    def read_file(self, path: str) -> str:
        """Return the text of a file."""
        return str(entry(self._files, path, "file"))

    def write_file(self, path: str, text: str) -> str:
        """Write a text to a file, in place of what it had."""
        name, content = _path(path), words(text, "text")
        self._changing()
        self._files[name] = content
        return f"written: {name}"

    def rename_file(self, path: str, new_path: str) -> str:
        """Give a file another path, which no file may have yet."""
        entry(self._files, path, "file")
        name = _path(new_path)
        if name in self._files:
            raise ValueError(f"there is a file {name!r} already")
        self._changing()
        self._files[name] = self._files.pop(path)
        return f"{path} is {name} now"

    def delete_file(self, path: str) -> str:
        """Delete a file."""
        entry(self._files, path, "file")
        self._changing()
        del self._files[path]
        return f"deleted: {path}"

    def seal_store(self) -> str:
        """Seal the store and return its code. Nothing can be changed after that."""
        return self._code(self._files)


def _path(value: object) -> str:
    path = words(value, "path")
    if not path.startswith("/") or path.endswith("/") or "//" in path:
        raise ValueError(f"a path is like /folder/name, but this is {path!r}")
    return path
