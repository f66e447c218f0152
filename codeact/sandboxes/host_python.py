"""The folders that a Python of this machine needs, which a sandbox mounts read-only."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from codeact.exceptions import ExecutorUnavailable

_ASK = """
import json, sys
print(json.dumps({"prefixes": [sys.prefix, sys.base_prefix], "version": sys.version_info[:2]}))
"""
SYSTEM = ("/usr", "/lib", "/lib64", "/bin", "/sbin")
SYSTEM_FILES = ("/etc/ld.so.cache", "/etc/alternatives")


class HostPython(NamedTuple):
    """An interpreter of this machine, and the folders that hold it and its packages."""

    executable: str
    folders: tuple[str, ...]


def find_python(executable: str | None) -> HostPython:
    """Find out an interpreter's folders; raises ExecutorUnavailable if it does not run.

    None is the interpreter that runs this, which knows them. Asking another one blocks.
    """
    path = executable or sys.executable
    if path == sys.executable and "PYTHONHOME" not in os.environ:
        return _with_folders(path, [sys.prefix, sys.base_prefix])
    try:
        asked = [path, "-I", "-c", _ASK]
        done = subprocess.run(asked, stdout=subprocess.PIPE, timeout=60, check=False)  # noqa: S603
        facts = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        raise ExecutorUnavailable(
            f"executor.python={path} does not run: {error}; give the path of a Python >= 3.11"
        ) from error
    if tuple(facts["version"]) < (3, 11):
        raise ExecutorUnavailable(
            f"executor.python={path} is older than 3.11; give the path of a Python >= 3.11"
        )
    return _with_folders(path, facts["prefixes"])


def _with_folders(path: str, prefixes: list[str]) -> HostPython:
    folders = [f for f in prefixes if not _within(f, SYSTEM)]
    return HostPython(executable=path, folders=tuple(dict.fromkeys(folders)))


def _within(folder: str, roots: tuple[str, ...]) -> bool:
    return any(Path(folder).is_relative_to(root) for root in roots)
