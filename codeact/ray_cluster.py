"""The Ray cluster of this process: joined or started once, left at the end."""

import logging
import os
import socket
import sys
from typing import Any, ClassVar

from codeact.exceptions import ComputeUnavailable

log = logging.getLogger(__name__)

_STARTED_HERE: dict[str, Any] = {
    # Unset, Ray would join the cluster that was last started on this machine, by anyone.
    "address": "local",
    "include_dashboard": False,
    # Records are small and leave the store at once; Ray would take a third of the memory.
    "object_store_memory": 1 << 28,
}


_KNOCK_SECONDS = 10.0


class _Link:
    """How many use the connection of this process, and whether it was made here."""

    users: ClassVar[int] = 0
    ours: ClassVar[bool] = False
    joined: ClassVar[bool] = True


def starts_here(address: str | None = None) -> bool:
    """Whether `connect` would start Ray on this machine, without importing Ray to find out."""
    joined = "ray" in sys.modules and sys.modules["ray"].is_initialized()
    return not (joined or address or os.environ.get("RAY_ADDRESS"))


def connect(address: str | None = None) -> bool:
    """Connect this process to a cluster as a driver; call `disconnect` as often.

    `address` None takes the cluster of RAY_ADDRESS (set in a Ray job), or starts Ray on this
    machine. Returns whether it joined a cluster; to a Ray started here no node can be added. Raises
    `ComputeUnavailable`.
    """
    import ray

    if not ray.is_initialized():
        address = address or os.environ.get("RAY_ADDRESS")
        _init(address)
        _Link.users, _Link.ours, _Link.joined = 0, True, bool(address)
    _Link.users += 1
    return _Link.joined


def _init(address: str | None) -> None:
    import ray

    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if not address:
        # Unset, a Ray that is started here would leave a token file in the user's home.
        os.environ.setdefault("RAY_AUTH_MODE", "disabled")
        # Ray's workers, and their sandboxes, would get a lower priority than everything else.
        os.environ.setdefault("RAY_worker_niceness", "0")
    options = {"address": address} if address else _STARTED_HERE
    try:
        _knock(address)
        ray.init(log_to_driver=False, logging_level=logging.ERROR, **options)
    except Exception as error:
        where = f"the cluster at {address}" if address else "Ray on this machine"
        raise ComputeUnavailable(
            f"{where} cannot be reached: {error}; see compute.address, or choose compute=local"
        ) from error
    _keep_off_stdout()


def _knock(address: str | None) -> None:
    """Raise OSError where nothing listens; Ray itself would try for minutes."""
    host, colon, port = (address or "").rpartition(":")
    if colon and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), _KNOCK_SECONDS).close()


def _keep_off_stdout() -> None:
    """Send Ray's own output to our log: stdout is for the command's result.

    ``log_to_driver=False`` does not cover what nodes report, such as a worker's death.
    """
    from ray._private import worker

    def to_log(data: dict[str, Any], *_: object, **__: object) -> None:
        for line in data["lines"]:
            log.info("Ray: %s", line)

    if hasattr(worker, "print_to_stdstream"):
        worker.print_to_stdstream = to_log


def disconnect() -> None:
    """Disconnect when the last user does; stops a Ray that was started here."""
    import ray

    _Link.users = max(0, _Link.users - 1)
    if _Link.users == 0 and _Link.ours and ray.is_initialized():
        _Link.ours = False
        ray.shutdown()
