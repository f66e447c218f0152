"""Remove the containers that dead owners left behind."""

import contextlib

from codeact.exceptions import ExecutorUnavailable
from codeact.sandboxes.docker.engine import connect
from codeact.sandboxes.owner import OWNER, owner_lives
from codeact.sandboxes.sweep import Swept


def sweep_containers(engine: str | None = None) -> list[Swept]:
    """Remove the containers whose owners are dead; none, where no engine responds."""
    swept = []
    try:
        client = connect(engine)
    except ExecutorUnavailable:
        return []
    with contextlib.closing(client):
        for container in client.containers.list(
            all=True, filters={"label": OWNER}, ignore_removed=True
        ):
            if owner_lives(container.labels.get(OWNER, "")):
                continue
            problem = ""
            try:
                container.remove(force=True, v=True)
            except Exception as error:
                # Another sweep, or the engine itself, may be faster.
                gone = "No such container" in str(error) or "already in progress" in str(error)
                problem = "" if gone else str(error)
            swept.append(Swept("container", str(container.name), problem))
    return swept
