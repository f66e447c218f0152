"""The docker executor: the guest as PID 1 of a container.

One container holds all sessions, or each session has its own (`isolation`). The host reaches them
over unix sockets in a folder that it shares with the container. If they share none, because the
engine is on another machine or the runtime has its own kernel, it uses `docker exec` (`transport`).
"""

import asyncio
import contextlib
import io
import json
import os
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codeact.exceptions import ExecutorUnavailable, SandboxFailure
from codeact.sandboxes.base import Session
from codeact.sandboxes.bubblewrap import ENVIRONMENT
from codeact.sandboxes.channel import Channel
from codeact.sandboxes.control_group import most_memory_mb
from codeact.sandboxes.docker.engine import connect
from codeact.sandboxes.docker.pool import ServerPool
from codeact.sandboxes.docker.relay import Relay
from codeact.sandboxes.docker.sweep import sweep_containers
from codeact.sandboxes.guest_program import guest_digest, guest_program
from codeact.sandboxes.host_python import SYSTEM, SYSTEM_FILES, HostPython, find_python
from codeact.sandboxes.owner import labels
from codeact.sandboxes.sandbox import GuestSandbox, guest_modules
from codeact.sandboxes.server import Server
from codeact.sandboxes.settings import DockerSettings
from codeact.sandboxes.threads import in_thread, made_in_thread

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.containers import Container

GUEST = "/opt/codeact/guest"
EMPTY_IMAGE = "codeact-empty"
_SOCKETS, _SCRATCH, _SLOTS = "/run/codeact", "/run/scratch", "/slots"
_CAPABILITIES = ["SETUID", "SETGID", "SETPCAP", "KILL", "CHOWN"]
_OPTIONS_LANE = 0
_LOCAL_ADDRESS = "http+docker://localhost"
"""What docker-py calls an engine that it reaches over a unix socket."""
_SERVER_MB = 512
_RESTART_SECONDS = 15.0
_SHARES_THE_KERNEL = (None, "runc", "crun", "io.containerd.runc.v2")


class DockerSandbox(GuestSandbox):
    """Sessions in containers of an engine."""

    settings: DockerSettings

    def __init__(self, settings: DockerSettings) -> None:
        super().__init__(settings)
        self._client: DockerClient | None = None
        self._image = settings.image
        self._python: HostPython | None = None
        self._pool: ServerPool | None = None
        self._digest = ""
        self._launched = False

    @property
    def facts(self) -> dict[str, Any]:
        image = {"name": self.settings.image, "digest": self._digest}
        names = ("isolation", "runtime", "network")
        how = {name: getattr(self.settings, name) for name in names}
        return {**super().facts, "image": image, **how}

    @property
    def bound(self) -> str:
        return f"the container's memory of {self._memory_mb()} MB"

    async def start(self) -> None:
        self._client = await made_in_thread(
            lambda: connect(self.settings.engine), self._take_client
        )
        await in_thread(sweep_containers, self.settings.engine)
        if self.settings.image == "host":
            self._python = await in_thread(find_python, self.settings.python)
            self._image = await in_thread(ensure_empty_image, self._client)
        else:
            await in_thread(check_image, self._client, self.settings.image)
        found = await in_thread(self._client.images.get, self._image)
        self._digest = str(found.id)
        if self.settings.isolation == "shared":
            await super().start()
            return
        self._pool = ServerPool(self.launch, self.settings.spare)
        # The first shows whether there can be any, and is then the first session's.
        first = await self._pool.take()
        self._pool.put_back(first)

    def _take_client(self, client: "DockerClient") -> None:
        self._client = client

    async def server(self, last: Server | None) -> Server:
        if self._pool is None:
            return await super().server(last)
        if last is not None and last.alive:
            return last
        if last is not None:
            self._pool.retire(last)
        if self._closed:
            raise SandboxFailure("the sandbox is closed")
        try:
            return await self._pool.take()
        except ExecutorUnavailable as error:
            raise SandboxFailure(f"no container could be started: {error}") from error

    def release(self, session: Session, server: Server | None) -> None:
        super().release(session, server)
        if self._pool is not None and server is not None:
            self._pool.retire(server)

    async def launch(self) -> Server:
        assert self._client is not None
        loop = asyncio.get_running_loop()
        # An engine that is being restarted is back soon; one that never was there is not.
        deadline = loop.time() + (_RESTART_SECONDS if self._launched else 0)
        while True:
            server = Server()
            try:
                return await self._launch(server, self._client)
            except _ContainerNotStarted as error:
                await server.close()
                if loop.time() < deadline and not self._closed:
                    await asyncio.sleep(0.5)
                    continue
                raise ExecutorUnavailable(
                    f"the container did not start: {error}; `codeact sandbox check` tests this "
                    "engine"
                ) from error
            except BaseException:
                await server.close()
                raise

    async def _launch(self, server: Server, client: "DockerClient") -> Server:
        shares_folders = self._shares_folders(client)
        options = self._options(server, shares_folders=shares_folders)
        if shares_folders:
            server.write_options(options)

        def run() -> "Container":
            try:
                return self._run(client, server, shares_folders=shares_folders)
            except Exception as error:
                raise _ContainerNotStarted(str(error)) from error

        container = await made_in_thread(run, lambda made: server.own(_Container(made)))
        self._launched = True
        transport = None if shares_folders else _ExecTransport(container, self._guest(), options)
        await server.start(_Container(container), self.settings.start_seconds, transport)
        return server

    async def end(self) -> None:
        await super().end()
        if self._pool is not None:
            await self._pool.close()
        if self._client is not None:
            client, self._client = self._client, None
            with contextlib.suppress(Exception):
                await in_thread(client.close)

    def _shares_folders(self, client: "DockerClient") -> bool:
        """Tell whether a socket in a mounted folder leads from here into a container."""
        if self.settings.transport != "auto":
            return self.settings.transport == "socket"
        return (
            str(client.api.base_url) == _LOCAL_ADDRESS
            and self.settings.runtime in _SHARES_THE_KERNEL
        )

    def _guest(self) -> list[str]:
        python = self._python.executable if self._python is not None else "python3"
        return [python, "-sP", GUEST]

    def _memory_mb(self) -> int:
        settings = self.settings
        if settings.container_memory_mb is not None:
            return settings.container_memory_mb
        if settings.isolation == "shared":
            return most_memory_mb()
        return settings.memory_mb + settings.disk_mb + _SERVER_MB

    def _options(self, server: Server, *, shares_folders: bool) -> bytes:
        options = {
            **self.settings.guest_options(),
            "modules": guest_modules(),
            "uid": self.settings.uid_base or server.uid_base,
            "owner": os.geteuid() if shares_folders else 0,
            "mount": False,
            "apart": False,
            "sockets": _SOCKETS,
            "slot_root": _SLOTS,
            "scratch": _SCRATCH,
        }
        return json.dumps(options).encode()

    def _run(self, client: "DockerClient", server: Server, *, shares_folders: bool) -> "Container":
        """Make a container and start it; what cannot be started is not left behind."""
        settings = self.settings
        uid = settings.uid_base or server.uid_base
        slots = int(settings.guest_options()["slots"])
        memory = f"{self._memory_mb()}m"
        chosen: dict[str, Any] = {}
        if settings.cpus is not None:
            chosen["nano_cpus"] = int(settings.cpus * 1e9)
        if settings.runtime is not None:
            chosen["runtime"] = settings.runtime
        container = client.containers.create(
            self._image,
            [*self._guest(), _SOCKETS],
            entrypoint=[],
            detach=True,
            environment=ENVIRONMENT if self._python is not None else _only_ours(),
            labels=labels("server"),
            hostname="sandbox",
            user="0:0",
            working_dir="/",
            network_mode="bridge" if settings.network else "none",
            read_only=True,
            ipc_mode="none",
            cap_drop=["ALL"],
            cap_add=_CAPABILITIES,
            pids_limit=slots * settings.processes + 64,
            mem_limit=memory,
            memswap_limit=memory,
            tmpfs=self._tmpfs(uid, slots, shares_folders=shares_folders),
            mounts=self._mounts(server, shares_folders=shares_folders),
            auto_remove=True,
            ulimits=_ulimits(settings),
            **chosen,
        )
        try:
            container.start()
        except BaseException:
            with contextlib.suppress(Exception):
                container.remove(force=True, v=True)
            raise
        return container

    def _tmpfs(self, uid: int, slots: int, *, shares_folders: bool) -> dict[str, str]:
        """Give each slot a tmpfs of its own: a quota for its disk."""
        size = f"size={self.settings.disk_mb}m,nr_inodes={self.settings.inodes},mode=700,exec"
        mounts = {
            f"{_SLOTS}/{n}": f"{size},uid={uid + 1 + n},gid={uid + 1 + n}" for n in range(slots)
        }
        mounts[_SCRATCH] = "size=4m,nr_inodes=256,mode=755"
        if not shares_folders:
            mounts[_SOCKETS] = "size=1m,nr_inodes=16,mode=700"
        return mounts

    def _mounts(self, server: Server, *, shares_folders: bool) -> list[Any]:
        from docker.types import Mount

        # Mounts rather than volumes, whose one line of text a path with a colon would spoil.
        mounts = [Mount(_SOCKETS, str(server.folder), type="bind")] if shares_folders else []
        if self._python is not None:
            mounts.append(Mount(GUEST, str(guest_program()), type="bind", read_only=True))
            for path in (*SYSTEM, *SYSTEM_FILES, *self._python.folders):
                if Path(path).exists():
                    mounts.append(Mount(path, path, type="bind", read_only=True))
        return mounts


class _ContainerNotStarted(Exception):
    """The engine did not start a container."""


class _ExecTransport:
    """Connects over one `docker exec` into the container, shared by all its sessions."""

    def __init__(self, container: "Container", guest: list[str], options: bytes) -> None:
        self._container = container
        self._guest = guest
        self._options = options
        self._relay: Relay | None = None

    async def connect(self, name: str, channel: Channel) -> None:
        if self._relay is None:
            try:
                self._relay = await Relay.attach(await in_thread(self._execute))
                self._relay.send(_OPTIONS_LANE, self._options)
            except Exception as error:
                raise ConnectionError(f"docker exec failed: {error}") from error
        self._relay.connect(name, channel)

    def close(self) -> None:
        if self._relay is not None:
            self._relay.close()

    def _execute(self) -> Any:
        assert self._container.client is not None
        api = self._container.client.api
        command = [*self._guest, "--relay", _SOCKETS]
        created = api.exec_create(self._container.id, command, stdin=True, user="0:0")
        return api.exec_start(created["Id"], socket=True)


class _Container:
    """The guest as a container."""

    def __init__(self, container: "Container") -> None:
        self._container = container

    async def alive(self) -> bool:
        try:
            await in_thread(self._container.reload)
        except Exception:
            return False
        return str(self._container.status) in ("created", "running")

    async def stop(self) -> None:
        with contextlib.suppress(Exception):
            await asyncio.wait_for(in_thread(self._container.remove, force=True, v=True), 60)

    async def log_tail(self) -> str:
        with contextlib.suppress(Exception):
            log = await asyncio.wait_for(in_thread(self._container.logs, tail=50), 10)
            return bytes(log).decode(errors="replace")[-4000:]
        return "(the container is gone, and its log with it)"


def check_image(client: "DockerClient", image: str) -> None:
    """Refuse an image that is missing, or was built for another version of the guest."""
    from docker.errors import ImageNotFound

    try:
        found = client.images.get(image)
    except ImageNotFound:
        raise ExecutorUnavailable(
            f"the image {image} is not there: `codeact sandbox build` builds it"
        ) from None
    digest = found.labels.get("codeact.guest")
    if digest is not None and digest != guest_digest():
        raise ExecutorUnavailable(
            f"the image {image} holds another version of the guest program than this codeact: "
            "`codeact sandbox build` builds it anew"
        )


def ensure_empty_image(client: "DockerClient") -> str:
    """Make the image with nothing in it, on which this machine's Python is mounted."""
    if not client.images.list(name=EMPTY_IMAGE):
        data = io.BytesIO()
        with tarfile.open(fileobj=data, mode="w") as archive:
            for name in ("etc", "proc", "dev", "sys", "run", "tmp", "slots"):
                entry = tarfile.TarInfo(name)
                entry.type, entry.mode = tarfile.DIRTYPE, 0o755
                archive.addfile(entry)
        client.api.import_image_from_data(data.getvalue(), repository=EMPTY_IMAGE, tag="latest")
    return f"{EMPTY_IMAGE}:latest"


def _only_ours() -> dict[str, str]:
    """Return our environment without PATH: an image knows its own."""
    return {name: value for name, value in ENVIRONMENT.items() if name != "PATH"}


def _ulimits(settings: DockerSettings) -> list[Any]:
    from docker.types import Ulimit

    files = max(settings.files, 4096)
    return [Ulimit(name="core", soft=0, hard=0), Ulimit(name="nofile", soft=files, hard=files)]
