"""Nodes of a Ray cluster as they come and go, and how an autoscaler is asked for more."""

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

_NODE = "ray.io/node-id"
"""The label that Ray gives each node."""


def nodes_with(cpus: float) -> dict[str, float]:
    """Return the CPUs of each living node with at least this many, by node id; asks the cluster."""
    import ray

    return {
        node["NodeID"]: float(node["Resources"].get("CPU", 0))
        for node in ray.nodes()  # type: ignore[no-untyped-call]
        if node["Alive"] and node["Resources"].get("CPU", 0) >= cpus
    }


def _arrive() -> None:
    """Do nothing: the task only needs a place on a node."""


class NodeDemand:
    """Pending tasks that only a new node can run, so that an autoscaler adds one.

    A task asks for the CPUs of a worker on any node but the known ones, and does nothing there. A
    request to the autoscaler itself would outlive this process; these tasks end with it.
    """

    def __init__(self, cpus: float) -> None:
        self._cpus = cpus
        self._pending: dict[asyncio.Future[None], Any] = {}

    def want(self, count: int, known: Iterable[str]) -> None:
        """Keep `count` tasks pending; nodes in `known` cannot run them."""
        if self._cpus <= 0:
            return
        self._pending = {over: task for over, task in self._pending.items() if not over.done()}
        while len(self._pending) > count:
            self._withdraw(*self._pending.popitem())
        if len(self._pending) < count:
            import ray

            others = ",".join(sorted(known))
            selector = {"label_selector": {_NODE: f"!in({others})"}} if others else {}
            arrival = ray.remote(_arrive).options(num_cpus=self._cpus, max_retries=0, **selector)
            while len(self._pending) < count:
                task = arrival.remote()
                self._pending[asyncio.ensure_future(_over(task))] = task

    def close(self) -> None:
        """Withdraw all pending tasks."""
        while self._pending:
            self._withdraw(*self._pending.popitem())

    def _withdraw(self, over: asyncio.Future[None], task: Any) -> None:
        import ray

        over.cancel()
        ray.cancel(task)


async def _over(task: Any) -> None:
    """Wait for a task, and ignore that it failed or was withdrawn."""
    from ray.exceptions import RayError

    with suppress(RayError):
        await task
