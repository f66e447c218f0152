"""Servers of one model on a Ray cluster: started together, watched, restarted, ended together."""

import asyncio
import contextlib
import os
import secrets
import shlex
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codeact import ray_cluster as cluster
from codeact.exceptions import ModelUnavailable
from codeact.models.base import Notice
from codeact.models.vllm.host import GRACE, Launch, ServerHost, ServerLocation, ServerStatus
from codeact.models.vllm.settings import VllmSettings
from codeact.wording import without_secrets

if TYPE_CHECKING:
    import aiohttp

_LOOK = 1.0
"""Seconds between two checks of a server."""
_SAY = 10.0
"""Seconds between two lines about a server that is not ready."""
_LOG_LINES = 25


class _NotUp(Exception):
    """A server is not, or no longer, running; in words for the user."""


@asynccontextmanager
async def running(settings: VllmSettings, notice: Notice) -> AsyncIterator[list[str]]:
    """Run the servers while the context is open; yields their addresses for a client."""
    import ray

    if not ray.is_initialized():
        notice("vllm: joining Ray, or starting it on this machine")
    cluster.connect()
    fleet = _Fleet(settings, notice)
    try:
        yield await fleet.start()
    except asyncio.CancelledError:
        fleet.raise_if_lost()
        raise
    else:
        fleet.raise_if_lost()
    finally:
        await fleet.stop()
        cluster.disconnect()


class _Fleet:
    """All servers of one model."""

    def __init__(self, settings: VllmSettings, notice: Notice) -> None:
        self._settings = settings
        self._notice = notice
        self._servers: list[_Server] = []
        self._watch: asyncio.Task[None] | None = None
        self._owner = asyncio.current_task()
        self._lost: ModelUnavailable | None = None

    async def start(self) -> list[str]:
        """Start all servers at once and wait until all are ready."""
        settings = self._settings
        env = settings.variables()
        count = _count(settings)
        scratch = Path(tempfile.gettempdir()) / f"codeact-vllm-{secrets.token_hex(4)}"
        for number in range(1, count + 1):
            name = f"vllm server {number} of {count} ({settings.name})"
            launch = _launch(settings, number, env, scratch)
            self._servers.append(_Server(name, settings, launch, self._notice))
        await self._start_all()
        self._watch = asyncio.create_task(self._keep_all())
        return [f"{server.origin}/v1" for server in self._servers]

    async def _start_all(self) -> None:
        starts = [asyncio.create_task(server.start()) for server in self._servers]
        try:
            await asyncio.gather(*starts)
        except _NotUp as failure:
            raise ModelUnavailable(str(failure)) from None
        finally:
            for task in starts:
                task.cancel()
            await asyncio.gather(*starts, return_exceptions=True)

    async def _keep_all(self) -> None:
        """Restart what ends; give the run up when nothing is left that could answer."""
        ends = await asyncio.gather(*(s.keep() for s in self._servers), return_exceptions=True)
        self._lost = ModelUnavailable(
            f"no server of {self._settings.name} is left. {ends[-1]}\n"
            "The same command plays what is left; model.restarts allows more restarts"
        )
        if self._owner is not None:
            self._owner.cancel()

    def raise_if_lost(self) -> None:
        if self._lost is not None:
            if self._owner is not None:
                self._owner.uncancel()
            raise self._lost from None

    async def stop(self) -> None:
        """End every server; returns when nothing of them is left."""
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)
        await asyncio.gather(*(server.stop() for server in self._servers))


class _Server:
    """One server, as the driver sees it."""

    def __init__(self, name: str, settings: VllmSettings, launch: Launch, notice: Notice) -> None:
        self._name = name
        self._settings = settings
        self._launch = launch
        self._notice = notice
        self._actor: Any = None
        self._location: ServerLocation | None = None

    @property
    def origin(self) -> str:
        assert self._location is not None
        return self._location.origin

    def _say(self, what: str) -> None:
        self._notice(f"{self._name} {what}")

    async def start(self) -> None:
        """Start it, on its earlier node if any, and wait until it is ready; raises `_NotUp`."""
        begun = time.monotonic()
        try:
            await self._start(begun)
        except _NotUp:
            await self._end()
            raise
        self._say(f"is ready after {time.monotonic() - begun:.0f} s at {self.origin}/v1")

    async def _start(self, begun: float) -> None:
        from ray.exceptions import RayError, RayTaskError

        try:
            async with asyncio.timeout(self._settings.start_seconds):
                await self._launch_it(begun)
                await self._wait_until_healthy(begun)
        except TimeoutError:
            raise _NotUp(await self._failure(self._why_slow())) from None
        except RayTaskError as error:
            raise _NotUp(f"{self._name} cannot be started: {error.cause}") from None
        except RayError as error:
            raise _NotUp(f"{self._name} is down with its actor: {_first_line(error)}") from None

    def _why_slow(self) -> str:
        limit = f"{self._settings.start_seconds:g} s (model.start_seconds)"
        if self._location is None:
            return f"got no place on the cluster in {limit}: {self._wanted()}"
        return f"did not answer {self.origin}/health in {limit}"

    def _wanted(self) -> str:
        gpus = self._settings.gpus
        return f"it wants {gpus} free GPUs on one node" if gpus else "it waits for a worker process"

    async def _launch_it(self, begun: float) -> None:
        if self._actor is None:
            self._actor = self._new_actor()
        placing = asyncio.ensure_future(_result(self._actor.start.remote(self._location)))
        try:
            while not (await asyncio.wait({placing}, timeout=_SAY))[0]:
                waited = time.monotonic() - begun
                self._say(f"has been waiting for {waited:.0f} s: {self._wanted()}")
            location: ServerLocation = placing.result()
        finally:
            placing.cancel()
        self._location = location
        self._say(
            f"is starting on {location.host}, port {location.port}; its log is {location.log}"
        )

    def _new_actor(self) -> Any:
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        # Clients know the address, so a new actor must run on the same node.
        strategy = (
            NodeAffinitySchedulingStrategy(self._location.node, soft=False)
            if self._location
            else "SPREAD"
        )
        options = {"num_cpus": 0, "num_gpus": self._settings.gpus, "max_restarts": 0}
        return (
            ray.remote(ServerHost)
            .options(scheduling_strategy=strategy, **options)
            .remote(self._launch)
        )

    async def _fetch_status(self) -> ServerStatus:
        found: ServerStatus = await _result(self._actor.status.remote())
        return found

    async def _wait_until_healthy(self, begun: float) -> None:
        import aiohttp

        said = time.monotonic()
        async with aiohttp.ClientSession() as session:
            while not await _is_healthy(session, f"{self.origin}/health"):
                found = await self._fetch_status()
                if found.exit_status is not None:
                    raise _NotUp(
                        await self._failure(_ended(found.exit_status, "before it was ready"))
                    )
                if time.monotonic() - said >= _SAY:
                    said = time.monotonic()
                    waited = f"has been starting for {said - begun:.0f} s"
                    self._say(f"{waited}; its log ends: {self._hidden(found.last_line)[:200]}")
                await asyncio.sleep(_LOOK / 2)

    async def keep(self) -> str:
        """Restart it whenever it ends; returns why it is down after too many restarts."""
        for restart in range(1, self._settings.restarts + 1):
            why = await self._wait_until_ended()
            self._say(f"{why}; starting it again ({restart} of {self._settings.restarts} times)")
            try:
                await self.start()
            except _NotUp as failure:
                self._notice(str(failure))
        why = await self._failure(await self._wait_until_ended())
        self._notice(f"{why}\n  It stays down: model.restarts is {self._settings.restarts}")
        return why

    async def _wait_until_ended(self) -> str:
        from ray.exceptions import RayError

        if self._actor is None:
            return "has no place on the cluster"
        try:
            found = await self._fetch_status()
            while found.exit_status is None:
                await asyncio.sleep(_LOOK)
                found = await self._fetch_status()
        except RayError as error:
            self._actor = None
            return f"is down with its actor: {_first_line(error)}"
        return _ended(found.exit_status)

    async def _failure(self, what: str) -> str:
        """Words about a server that is down: its command and the end of its log."""
        from ray.exceptions import RayError

        lines = [f"{self._name} {what}."]
        if self._location is None:
            return lines[0]
        lines.append(f"  command: {self._shown_command()}")
        lines.append(f"  log: {self._location.log} (on {self._location.host}); its end:")
        if self._actor is not None:
            with contextlib.suppress(RayError):
                log = await _result(self._actor.log_end.remote(_LOG_LINES))
                lines += [f"    {line}" for line in self._hidden(log).splitlines()]
        return "\n".join(lines)

    def _shown_command(self) -> str:
        assert self._location is not None
        given = {n: f"${n}" if v is None else v for n, v in self._settings.env.items()}
        variables = [f"{name}={shlex.quote(value)}" for name, value in given.items()]
        return without_secrets(" ".join([*variables, shlex.join(self._location.command)]))

    def _hidden(self, text: str) -> str:
        """A text of the server's without what was handed on to it in confidence."""
        for name in self._settings.handed_on:
            if value := os.environ.get(name):
                text = text.replace(value, f"${name}")
        return text

    async def stop(self) -> None:
        """End it and give its GPUs back."""
        import ray

        if self._actor is not None and ray.is_initialized():
            await self._end()
        if self._actor is not None and ray.is_initialized():
            ray.kill(self._actor)
            self._actor = None

    async def _end(self) -> None:
        """End the process and keep the actor with its GPUs, unless it never got any."""
        import ray
        from ray.exceptions import RayError

        if self._actor is None:
            return
        if self._location is None:
            ray.kill(self._actor)
            self._actor = None
            return
        with contextlib.suppress(RayError, TimeoutError):
            async with asyncio.timeout(GRACE + 10):
                await _result(self._actor.stop.remote())


async def _result(reference: Any) -> Any:
    return await reference


async def _is_healthy(session: "aiohttp.ClientSession", url: str) -> bool:
    import aiohttp

    try:
        async with session.get(url, timeout=aiohttp.ClientTimeout(total=5)) as response:
            return response.status == 200
    except (aiohttp.ClientError, TimeoutError, OSError):
        return False


def _launch(settings: VllmSettings, number: int, env: dict[str, str], scratch: Path) -> Launch:
    return Launch(
        words=settings.command(),
        env=env,
        label=f"{_file_name(settings.name)}-{number}",
        log_dir=str(Path(settings.log_dir).absolute() if settings.log_dir else scratch),
        folder=str(Path.cwd()),
        python=settings.python,
        # Other nodes play no episodes and run no servers, so no one else needs access.
        loopback=len(_nodes()) == 1,
    )


def _nodes() -> list[dict[str, Any]]:
    """The nodes of the cluster that are alive."""
    import ray

    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    return [node for node in nodes if node["Alive"]]


def _count(settings: VllmSettings) -> int:
    """How many servers are wanted; raises `ModelUnavailable` where the cluster is too small."""
    import ray

    gpus = settings.gpus
    if gpus == 0:
        return settings.servers or 1
    of_nodes = [int(n["Resources"].get("GPU", 0)) for n in _nodes()]
    room = sum(of_node // gpus for of_node in of_nodes)
    if room < (settings.servers or 1):
        wanted = f"{settings.servers or 1} of {gpus} GPUs each (model.servers, model.gpus)"
        raise ModelUnavailable(
            f"the cluster has room for {room} servers of {settings.name}, and {wanted} are wanted: "
            f"its nodes have {', '.join(map(str, of_nodes))} GPUs. Give model.gpus=0 for a CPU, or "
            "model=server for a server that runs already"
        )
    resources: dict[str, float] = ray.available_resources()  # type: ignore[no-untyped-call]
    return settings.servers or max(1, min(room, int(resources.get("GPU", 0)) // gpus))


def _ended(status: int | None, when: str = "") -> str:
    how = f"was killed by signal {-status}" if status and status < 0 else f"ended ({status})"
    return f"{how} {when}".rstrip()


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]


def _file_name(name: str) -> str:
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in name)
