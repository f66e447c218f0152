"""Control groups: a bound on what a server and all its sessions hold together.

The kernel counts in them what it holds for processes, too, such as what waits in sockets and pipes,
which no limit of a process covers. With version 1 of the kernel's interface, a group is made below
the one that we are in. With version 2, it is made below the nearest one above us that gives its
children the memory controller. Otherwise systemd makes one as a scope. Where none of these works,
there is no group.
"""

import contextlib
import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from codeact.processes import pid_namespace
from codeact.sandboxes.janitor import remove_group
from codeact.sandboxes.owner import process_lives, this_owner

PREFIX = "codeact-"
_ENTER = 'while [ "$1" != -- ]; do echo 0 >"$1" || exit 125; shift; done; shift; exec "$@"'
_REMOVAL_TRIES = 1000
_PROCESSES = "pids.max"
_SYSTEMD = ("systemd-run", "--user", "--scope", "--quiet", "--collect")
_OF_SYSTEMD = ("XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS")


class GroupLimits(NamedTuple):
    """What all processes of a group may take together."""

    memory_bytes: int
    processes: int


class GroupMount(NamedTuple):
    """Where a hierarchy of control groups is mounted, and which group is seen there."""

    root: str
    point: Path
    version: int
    controllers: frozenset[str]


class ControlGroup(NamedTuple):
    """A group that was made for one server: a folder in each hierarchy, or a scope of systemd's."""

    kind: str
    """``v1``, ``v2`` or ``systemd``."""
    memory_bytes: int
    folders: tuple[str, ...] = ()
    prefix: tuple[str, ...] = ()

    def command(self, command: list[str], environment: dict[str, str]) -> list[str]:
        """Return the command that runs one in the group, from its first moment."""
        if self.prefix:
            # systemd-run needs variables that are not for what it runs.
            variables = [f"{name}={value}" for name, value in environment.items()]
            return [*self.prefix, "env", "-i", *variables, *command]
        files = [f"{folder}/cgroup.procs" for folder in self.folders]
        return ["/bin/sh", "-c", _ENTER, "sh", *files, "--", *command]

    def environment(self, environment: dict[str, str]) -> dict[str, str]:
        """Return the variables to start `command` with."""
        if not self.prefix:
            return environment
        known = {name: os.environ[name] for name in _OF_SYSTEMD if name in os.environ}
        return {**environment, **known}

    @property
    def oom_kills(self) -> str | None:
        """The file in which the kernel counts those that it killed because memory ran out."""
        names = {"v1": "memory.oom_control", "v2": "memory.events"}
        return f"{self.folders[0]}/{names[self.kind]}" if self.folders else None

    def allow_processes(self, processes: int) -> bool:
        """Set how many processes it may have, where it counts them; False if that fails."""
        files = [Path(folder) / _PROCESSES for folder in self.folders]
        return all(_set(file, processes) for file in files if file.exists())

    async def remove(self) -> None:
        """Kill what is left in the group, and remove it. Never raises."""
        import asyncio  # A head start has a group before there is a loop.

        left = list(self.folders)
        for _ in range(_REMOVAL_TRIES):
            left = [folder for folder in left if not remove_group(folder)]
            if not left:
                return
            await asyncio.sleep(0.01)


def make_group(
    limits: GroupLimits,
    *,
    scope: bool = True,
    mountinfo: str = "/proc/self/mountinfo",
    own: str = "/proc/self/cgroup",
) -> ControlGroup | None:
    """Make a group with these limits and try to enter it; None where there cannot be one.

    Without `scope`, systemd is not asked for one.
    """
    mounts, groups = _mounts(mountinfo), _groups(own)
    name = PREFIX + ".".join((*this_owner().split("/")[2:], secrets.token_hex(4)))
    group = _first_version(limits, name, mounts, groups)
    group = group or _second_version(limits, name, mounts, groups)
    group = group or (_scope(limits) if scope else None)
    if group is None or _runs(group):
        return group
    for folder in group.folders:
        remove_group(folder)
    return None


def has_scopes() -> bool:
    """Tell whether there may be a systemd to ask for a group."""
    return shutil.which(_SYSTEMD[0]) is not None


def most_memory_mb() -> int:
    """Return what sessions may take of this machine's memory together: three quarters."""
    pages, size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    return pages * size // (1 << 20) * 3 // 4


def left_groups(
    *, mountinfo: str = "/proc/self/mountinfo", own: str = "/proc/self/cgroup"
) -> Iterator[str]:
    """Yield the groups below ours and those above us whose makers are dead."""
    mounts, groups = _mounts(mountinfo), _groups(own)
    parents = [_group_folder(m, groups[c]) for m in mounts for c in m.controllers & groups.keys()]
    parents += [folder for m in mounts if m.version == 2 for folder in _above(m, groups)]
    for parent in dict.fromkeys(parents):
        for folder in sorted(parent.glob(f"{PREFIX}*")) if parent is not None else ():
            parts = folder.name.removeprefix(PREFIX).split(".")
            if len(parts) != 4 or parts[2] != pid_namespace():
                continue
            if not process_lives(parts[0], parts[1]):
                yield str(folder)


def _first_version(
    limits: GroupLimits, name: str, mounts: list[GroupMount], groups: dict[str, str]
) -> ControlGroup | None:
    """Make a folder below our own group of the memory controller, and of that of processes."""
    folders = []
    for controller, wanted in (
        ("memory", {"memory.limit_in_bytes": limits.memory_bytes}),
        ("pids", {_PROCESSES: limits.processes}),
    ):
        for mount in mounts:
            if mount.version == 1 and controller in mount.controllers and controller in groups:
                folder = _made(_group_folder(mount, groups[controller]), name, wanted)
                if folder is not None:
                    folders.append(str(folder))
                    break
        else:
            if controller == "memory":
                return None
    for optional in ("memory.memsw.limit_in_bytes", "memory.kmem.tcp.limit_in_bytes"):
        # Swap, and what TCP holds, which counts only where it is limited.
        _set(Path(folders[0]) / optional, limits.memory_bytes)
    return ControlGroup("v1", limits.memory_bytes, tuple(folders))


def _second_version(
    limits: GroupLimits, name: str, mounts: list[GroupMount], groups: dict[str, str]
) -> ControlGroup | None:
    """Make a folder in the nearest group that gives its children a memory controller."""
    for mount in mounts:
        if mount.version != 2:
            continue
        bound = limits.memory_bytes
        for parent in _above(mount, groups):
            if "memory" in _words(parent / "cgroup.subtree_control"):
                folder = _made(parent, name, {"memory.max": bound})
                if folder is not None:
                    _set(folder / "memory.swap.max", 0)
                    _set(folder / _PROCESSES, limits.processes)
                    return ControlGroup("v2", bound, (str(folder),))
            # A group above ours lacks our own limit, which must hold all the same.
            ours = " ".join(_words(parent / "memory.max"))
            bound = min(bound, int(ours)) if ours.isdigit() else bound
    return None


def _scope(limits: GroupLimits) -> ControlGroup | None:
    """Have systemd make one, where there is a systemd of this user's."""
    properties = (f"MemoryMax={limits.memory_bytes}", "MemorySwapMax=0")
    words = [*_SYSTEMD]
    for text in (*properties, f"TasksMax={limits.processes}"):
        words += ["--property", text]
    return ControlGroup("systemd", limits.memory_bytes, (), (*words, "--"))


def _runs(group: ControlGroup) -> bool:
    """Try whether a program can be started in the group."""
    environment = {"PATH": os.environ.get("PATH", "/usr/bin:/bin")}
    try:
        done = subprocess.run(  # noqa: S603
            group.command(["true"], environment),
            env=group.environment(environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=20,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return done.returncode == 0


def _made(parent: Path | None, name: str, wanted: dict[str, int]) -> Path | None:
    """Make a group with values that must hold; None where that cannot be."""
    if parent is None:
        return None
    folder = parent / name
    try:
        folder.mkdir()
    except OSError:
        return None
    if all(_set(folder / file, value) for file, value in wanted.items()):
        return folder
    remove_group(str(folder))
    return None


def _set(file: Path, value: int) -> bool:
    try:
        # It is not created: a file that is not there is a controller that is not.
        fd = os.open(file, os.O_WRONLY)
    except OSError:
        return False
    try:
        os.write(fd, str(value).encode())
    except OSError:
        return False
    finally:
        os.close(fd)
    return True


def _above(mount: GroupMount, groups: dict[str, str]) -> Iterator[Path]:
    """Yield our own group of the second version's hierarchy and all above it, nearest first."""
    folder = _group_folder(mount, groups.get("", "/"))
    while folder is not None and folder.is_relative_to(mount.point):
        yield folder
        folder = folder.parent


def _group_folder(mount: GroupMount, group: str) -> Path | None:
    """Return where a group is seen in a mount, if it is."""
    root = "" if mount.root == "/" else mount.root
    if root and group != root and not group.startswith(f"{root}/"):
        # In a namespace of control groups, paths begin at its own root.
        root = ""
    folder = mount.point / group[len(root) :].lstrip("/")
    return folder if folder.is_dir() else None


def _mounts(mountinfo: str) -> list[GroupMount]:
    found = []
    for line in _lines(mountinfo):
        before, _, after = line.partition(" - ")
        fields, more = before.split(), after.split()
        if len(fields) < 5 or len(more) < 3 or more[0] not in ("cgroup", "cgroup2"):
            continue
        root, point = (f.encode().decode("unicode_escape") for f in fields[3:5])
        version = 2 if more[0] == "cgroup2" else 1
        names = frozenset(more[2].split(",")) if version == 1 else frozenset()
        found.append(GroupMount(root, Path(point), version, names))
    return found


def _groups(own: str) -> dict[str, str]:
    """Return our own groups by controller; that of the second version has none."""
    found = {}
    for line in _lines(own):
        _, names, path = line.split(":", 2)
        found.update(dict.fromkeys(names.split(","), path))
    return found


def _lines(path: str) -> list[str]:
    with contextlib.suppress(OSError):
        return Path(path).read_text().splitlines()
    return []


def _words(path: Path) -> list[str]:
    with contextlib.suppress(OSError):
        return path.read_text().split()
    return []
