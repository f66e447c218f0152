"""The folders that a Python of this machine needs, which a sandbox mounts read-only."""

import json
import subprocess
import sys
from pathlib import Path

import msgspec

from codeact.exceptions import ExecutorUnavailable
from codeact.sandboxes.threads import in_thread

_ASK = """
import json, sys, sysconfig
paths = sysconfig.get_paths()
print(json.dumps({"prefixes": [sys.prefix, sys.base_prefix], "version": sys.version_info[:2]}))
"""
SYSTEM = ("/usr", "/lib", "/lib64", "/bin", "/sbin")
SYSTEM_FILES = ("/etc/ld.so.cache", "/etc/alternatives")


class HostPython(msgspec.Struct, frozen=True):
    """An interpreter of this machine, and the folders that hold it and its packages."""

    executable: str
    folders: tuple[str, ...]


async def find_python(executable: str | None) -> HostPython:
    """Ask an interpreter for its folders; raises ExecutorUnavailable if it does not run."""
    path = executable or sys.executable
    try:
        asked = [path, "-I", "-c", _ASK]
        done = await in_thread(
            subprocess.run, asked, stdout=subprocess.PIPE, timeout=60, check=False
        )
        facts = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        raise ExecutorUnavailable(
            f"executor.python={path} does not run: {error}; give the path of a Python >= 3.11"
        ) from error
    if tuple(facts["version"]) < (3, 11):
        raise ExecutorUnavailable(
            f"executor.python={path} is older than 3.11; give the path of a Python >= 3.11"
        )
    folders = [f for f in facts["prefixes"] if not _within(f, SYSTEM)]
    return HostPython(executable=path, folders=tuple(dict.fromkeys(folders)))


def _within(folder: str, roots: tuple[str, ...]) -> bool:
    return any(Path(folder).is_relative_to(root) for root in roots)
