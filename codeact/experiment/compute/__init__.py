"""Where episodes are played: in this process, or by Ray actors on many nodes."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from codeact.experiment.budget import Account
from codeact.experiment.compute.base import ComputeBackend
from codeact.experiment.compute.local import open_local
from codeact.experiment.compute.ray import open_ray
from codeact.experiment.config.compute import RayCompute
from codeact.experiment.config.schema import RunConfig
from codeact.experiment.plan import Plan
from codeact.experiment.resources import Resources
from codeact.ray_cluster import starts_here


@asynccontextmanager
async def open_backend(
    plans: Mapping[str, Plan], accounts: Mapping[str, Account], resources: Resources
) -> AsyncIterator[ComputeBackend]:
    """Open the backend that the configuration chooses, for all runs by name.

    All runs of a sweep use one backend, that of the first.
    """
    compute = next(iter(plans.values())).config.compute
    for plan in plans.values():
        preflight(plan.config)
    if isinstance(compute, RayCompute):
        async with open_ray(plans, accounts, resources, compute) as backend:
            yield backend
    else:
        yield await open_local(plans, accounts, resources)


def preflight(config: RunConfig) -> None:
    """Refuse models that cannot work, before anything is started for them."""
    address = config.compute.address if isinstance(config.compute, RayCompute) else None
    models = [config.model]
    if config.feedback.kind != "none" and config.feedback.model is not None:
        models.append(config.feedback.model)
    for model in models:
        model.preflight(here=starts_here(address))
