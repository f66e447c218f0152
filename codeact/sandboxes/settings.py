"""Settings of the executors: the limits of a session, and where sessions run."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from codeact.episode.settings import Settings
from codeact.sandboxes.guest_program import PRELOAD

_INCIDENTAL = frozenset(
    {
        "kind",
        "slots",
        "warm",
        "preload",
        "start_seconds",
        "wait_seconds",
        "end_seconds",
        "uid_base",
        "python",
        "allow_unisolated",
        "image",
        "engine",
        "container_memory_mb",
        "server_memory_mb",
        "cpus",
        "runtime",
        "isolation",
        "spare",
        "transport",
    }
)
"""Where sessions run and how many at a time: an episode is the same experiment either way."""

_LATER = ("tool_calls_per_cell", "tool_calls_per_session")
"""Limits that earlier runs were played without, and did not come near."""

MOST_SLOTS = 4000

Names = Annotated[tuple[str, ...], Field(strict=False)]


class ExecutorSettings(Settings):
    """What holds for every executor. Limits are per session unless said otherwise."""

    incidental: ClassVar[frozenset[str]] = _INCIDENTAL

    cell_seconds: float = Field(default=30.0, gt=0)
    """Soft limit of a cell: TimeoutError is raised in it, the interpreter's state survives."""
    grace_seconds: float = Field(default=2.0, gt=0)
    """How long after the soft limit the interpreter is stopped, state and all."""
    memory_mb: int = Field(default=1024, ge=64)
    """Memory, over all its processes, beyond what the preloaded libraries take."""
    processes: int = Field(default=64, ge=1)
    """Processes and threads."""
    disk_mb: int = Field(default=64, ge=1)
    """Disk space of a session, in its own folder."""
    inodes: int = Field(default=16384, ge=64)
    """Files and folders."""
    files: int = Field(default=1024, ge=64)
    """Open files per process."""
    output_bytes: int = Field(default=1 << 20, ge=1024)
    """What is kept of a cell's output: its beginning."""
    slots: int | None = Field(default=None, ge=1, le=MOST_SLOTS)
    """Sessions at a time in one server; more wait their turn. None is what the episodes at once
    can need, or 64 where there are no episodes."""
    warm: int = Field(default=4, ge=1)
    """Interpreters forked ahead of need."""
    preload: Names = PRELOAD
    """Libraries imported once, before any session; those not installed are passed over."""
    start_seconds: float = Field(default=60.0, gt=0)
    """How long a server may take to start, and a session's setup code to run."""
    wait_seconds: float = Field(default=600.0, gt=0)
    """How long a session may wait for a free slot."""
    end_seconds: float = Field(default=15.0, gt=0)
    """How long the server may take to end a session before it counts as hung."""
    tool_seconds: float = Field(default=30.0, gt=0)
    """How long one call of a host tool may take."""
    tool_bytes: int = Field(default=1 << 20, ge=1024)
    """Size of a host tool's arguments, and of its result."""
    tool_calls_per_cell: int = Field(default=100, ge=1)
    """How often one cell may call host tools; one more is a ToolError in it."""
    tool_calls_per_session: int = Field(default=1000, ge=1)
    """How often all cells of an episode may, also where its interpreter was replaced."""
    value_bytes: int = Field(default=8 << 20, ge=1024)
    """Size of an evaluation's RESULT, as JSON; one of more than 200,000 values is None, too."""
    uid_base: int | None = Field(default=None, ge=1)
    """First uid given to sessions; by default a range of its own for every server. Set it where
    only some uids exist, as under a rootless engine."""

    @property
    def capacity(self) -> int:
        """The sessions that one server has room for."""
        return self.slots or 64

    def identity(self) -> dict[str, Any]:
        """Limits that came later count where they are not as they come: old runs go on."""
        fields = super().identity()
        for name in _LATER:
            if fields[name] == type(self).model_fields[name].default:
                del fields[name]
        return fields

    def guest_limits(self) -> dict[str, int]:
        """Return the limits that the guest enforces."""
        names = (
            "memory_mb",
            "processes",
            "disk_mb",
            "inodes",
            "files",
            "output_bytes",
            "tool_bytes",
            "value_bytes",
        )
        return {name: getattr(self, name) for name in names}

    def guest_options(self) -> dict[str, Any]:
        """Return the guest's options that do not depend on where it runs."""
        return {
            "limits": self.guest_limits(),
            "slots": self.capacity,
            "warm": min(self.warm, self.capacity),
            "preload": list(self.preload),
            "patience": self.start_seconds,
        }


class LocalSettings(ExecutorSettings):
    """Sessions under bubblewrap, on this machine, with a Python that is installed here."""

    kind: Literal["local"] = "local"
    """The kind of sandbox."""
    python: str | None = None
    """The interpreter sessions run on, of a virtual environment or not; by default this one."""
    server_memory_mb: int | None = Field(default=None, ge=128)
    """Memory of the server and all its sessions together, what the kernel holds for them included,
    where there can be a control group; by default three quarters of the machine's."""
    allow_unisolated: bool = False
    """Run model-written code without any isolation where bubblewrap cannot run."""


class DockerSettings(ExecutorSettings):
    """Sessions in a container, of one image that holds the libraries."""

    kind: Literal["docker"] = "docker"
    """The kind of sandbox."""
    image: str = "codeact-sandbox"
    """The image; ``host`` makes do with an empty one and this machine's Python, mounted."""
    engine: str | None = None
    """The engine's address; by default DOCKER_HOST, else the usual socket."""
    isolation: Literal["shared", "container"] = "shared"
    """``shared``: one container with `slots` sessions. ``container``: each session has a container
    of its own, `slots` of them at most."""
    spare: int = Field(default=2, ge=0)
    """Containers started ahead of need, for ``isolation=container``."""
    transport: Literal["auto", "socket", "exec"] = "auto"
    """How sessions are reached. ``socket`` is a unix socket in a folder that the container shares
    with this machine. ``exec`` is a `docker exec`, which also works if the container is elsewhere.
    ``auto`` takes the socket if the engine's address is one and `runtime` has no kernel of its own.
    An engine in a virtual machine (as on a Mac) needs ``exec``."""
    container_memory_mb: int | None = Field(default=None, ge=128)
    """Memory of a container; by default three quarters of the machine's if it is shared, else a
    session's memory and disk, and 512 MB for the server."""
    cpus: float | None = Field(default=None, gt=0)
    """Processors of the container; None is all."""
    runtime: str | None = None
    """The engine's runtime, such as ``runsc``. gVisor shows a session the environment that others
    were started with (nothing but ours); with ``isolation=container`` there are no others."""
    network: bool = False
    """Give sessions the engine's default network. They then reach what the machine reaches."""
    python: str | None = None
    """For ``image=host``: the interpreter to mount; by default this one."""

    def guest_options(self) -> dict[str, Any]:
        options = super().guest_options()
        return {**options, "slots": 1, "warm": 1} if self.isolation == "container" else options

    def identity(self) -> dict[str, Any]:
        """A network changes what a policy can do; without one, this is the same as ``local``."""
        fields = super().identity()
        if not self.network:
            del fields["network"]
        return fields


class ImageSettings(Settings):
    """What the image of ``executor=docker`` is made of."""

    name: str = "codeact-sandbox"
    """The image's name."""
    base_image: str = "python:3.11-slim"
    """The image that it is built on."""
    packages: Names = ("ipython", "numpy", "pandas", "scipy", "sympy", "math-verify[antlr4_9_3]")
    """What cells may import, as pip requirements; ipython must be among them."""
    wheels: str | None = Field(default=None)
    """A folder of wheels to install from; nothing is fetched then."""


AnyExecutorSettings = LocalSettings | DockerSettings
