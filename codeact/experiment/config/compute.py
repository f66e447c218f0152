"""Where episodes are played, and how many at once: the settings of the group ``compute``."""

import math
from typing import Annotated, Literal

from pydantic import Field

from codeact.episode.settings import Settings


class LocalCompute(Settings):
    """Episodes run in this process; `concurrency` of them at once."""

    kind: Literal["local"]
    """Where episodes are played: in this process."""
    concurrency: int = Field(ge=1, le=10_000)
    """How many episodes are played at once."""

    @property
    def for_each_worker(self) -> int:
        """How many episodes one process plays at once."""
        return self.concurrency


class RayCompute(Settings):
    """Episodes run in Ray actors, `concurrency` of them at once over all actors together.

    `address` of a cluster is an ``host:port`` or ``auto``; None takes the one that the environment
    names (a Ray job's own, for example), and starts Ray on this machine where it names none.
    `workers` is the number of actors. None is one on each node, also on those that join later. An
    autoscaler is then asked for up to `pending` nodes at a time while more episodes are played at
    once than the nodes have CPUs. An episode whose worker is lost is handed out again, `handouts`
    times in all. The run ends when there has been no worker at all for `start_seconds`.
    """

    kind: Literal["ray"]
    """Where episodes are played: in Ray actors."""
    concurrency: int = Field(ge=1, le=100_000)
    """How many episodes are played at once, over all workers together."""
    address: str | None = None
    """The cluster: `host:port` or `auto`. Null takes RAY_ADDRESS, and starts Ray on this
    machine where that is not set."""
    workers: int | None = Field(default=None, ge=1)
    """How many workers play episodes; null is one on each node."""
    cpus_per_worker: float = Field(default=1.0, ge=0)
    """Processors that a worker asks Ray for."""
    pending: int = Field(default=4, ge=0)
    """The most workers that wait for a place at once; they make an autoscaler bring nodes."""
    handouts: int = Field(default=3, ge=1)
    """How often an episode is handed out in all, when its workers are lost."""
    start_seconds: float = Field(default=300.0, gt=0)
    """The run ends after this many seconds without any worker."""

    @property
    def for_each_worker(self) -> int:
        """How many episodes one process plays at once."""
        return math.ceil(self.concurrency / (self.workers or 1))


ComputeSettings = Annotated[LocalCompute | RayCompute, Field(discriminator="kind")]
