"""Nodes of a Ray cluster as they come and go, and what makes an autoscaler bring more of them."""

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

_NODE = "ray.io/node-id"
"""The label that Ray gives each node."""


def nodes_with(cpus: float) -> dict[str, float]:
    """The CPUs of each living node that has at least so many, by its id; asks the cluster."""
    import ray

    return {
        node["NodeID"]: float(node["Resources"].get("CPU", 0))
        for node in ray.nodes()  # type: ignore[no-untyped-call]
        if node["Alive"] and node["Resources"].get("CPU", 0) >= cpus
    }


def _arrive() -> None:
    """The node is there: that is all."""


class NodeDemand:
    """Pending tasks that only a node that is not there yet can take: an autoscaler brings it.

    A task asks for the CPUs of a worker on any node but those known, does nothing there and is
    over. Unlike a request made of the autoscaler itself, it ends with this process, whatever ends
    that.
    """

    def __init__(self, cpus: float) -> None:
        self._cpus = cpus
        self._pending: dict[asyncio.Future[None], Any] = {}

    def want(self, count: int, known: Iterable[str]) -> None:
        """Have so many tasks pending; `known` are the nodes that will not do."""
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
        """Want no more nodes."""
        while self._pending:
            self._withdraw(*self._pending.popitem())

    def _withdraw(self, over: asyncio.Future[None], task: Any) -> None:
        import ray

        over.cancel()
        ray.cancel(task)


async def _over(task: Any) -> None:
    """Wait for a task; that it failed or was withdrawn is not worth a word."""
    from ray.exceptions import RayError

    with suppress(RayError):
        await task
