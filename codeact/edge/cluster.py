"""The Ray cluster that this process is a driver of: joined or started once, left at the end."""

import logging
import os
from typing import Any

from codeact.exceptions import ComputeUnavailable

_STARTED_HERE: dict[str, Any] = {"include_dashboard": False}


def connect(address: str | None = None) -> None:
    """Become a driver of a cluster, if this process is none yet.

    None takes the cluster that the environment names (RAY_ADDRESS, as in a Ray job), and starts
    Ray on this machine where it names none. Raises `ComputeUnavailable`.
    """
    import ray

    if ray.is_initialized():
        return
    # Unset, a Ray that is started here would leave a token file in the user's home.
    os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    address = address or os.environ.get("RAY_ADDRESS")
    options = {"address": address} if address else _STARTED_HERE
    try:
        ray.init(log_to_driver=False, logging_level=logging.ERROR, **options)
    except Exception as error:
        where = f"the cluster at {address}" if address else "Ray on this machine"
        raise ComputeUnavailable(
            f"{where} cannot be reached: {error}; see compute.address, or choose compute=local"
        ) from error


def disconnect() -> None:
    """Leave the cluster; one that was started here ends."""
    import ray

    if ray.is_initialized():
        ray.shutdown()
