"""Connect to a container engine."""

import os
from typing import TYPE_CHECKING

from codeact.exceptions import ExecutorUnavailable

if TYPE_CHECKING:
    from docker import DockerClient


def connect(engine: str | None) -> "DockerClient":
    """Connect to the engine; raises ExecutorUnavailable if none responds."""
    import docker

    try:
        environment = {**os.environ, **({"DOCKER_HOST": engine} if engine else {})}
        client = docker.from_env(environment=environment)
        client.ping()
    except Exception as error:
        address = engine or os.environ.get("DOCKER_HOST") or "the usual socket"
        raise ExecutorUnavailable(
            f"no container engine answers at {address}: {error}. Start one (systemctl start "
            "docker, or launchers/docker_engine.sh start, which prints the DOCKER_HOST to set), "
            "or choose executor=local"
        ) from error
    return client
