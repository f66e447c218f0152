"""How the services that episodes depend on do now: model servers, sandboxes, workers."""

from collections.abc import Iterable
from typing import NamedTuple

from codeact.models.replicas import EndpointStats
from codeact.sandboxes.sandbox import SandboxStats


class ServiceStats(NamedTuple):
    """The services of one process, or of all workers together.

    `workers` and `nodes` are None where episodes are played in this process.
    """

    servers: tuple[EndpointStats, ...] = ()
    sandboxes: tuple[SandboxStats, ...] = ()
    workers: int | None = None
    nodes: int | None = None


def combined(parts: Iterable[ServiceStats], nodes: int) -> ServiceStats:
    """Add up what the workers on so many nodes say: counts of one server, and of one executor."""
    told = list(parts)
    servers: dict[str, EndpointStats] = {}
    sandboxes: dict[str, SandboxStats] = {}
    for part in told:
        for server in part.servers:
            known = servers.get(server.base_url)
            servers[server.base_url] = server if known is None else known + server
        for sandbox in part.sandboxes:
            other = sandboxes.get(sandbox.kind)
            sandboxes[sandbox.kind] = sandbox if other is None else other + sandbox
    return ServiceStats(tuple(servers.values()), tuple(sandboxes.values()), len(told), nodes)
