"""Where episodes are played: in this process, or by Ray actors on many nodes."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from codeact.experiment.budget import Account
from codeact.experiment.compute.base import Player
from codeact.experiment.compute.local import open_local
from codeact.experiment.compute.ray import open_ray
from codeact.experiment.config import RayCompute
from codeact.experiment.plan import Plan
from codeact.experiment.resources import Resources


@asynccontextmanager
async def opened_player(
    plans: Mapping[str, Plan], accounts: Mapping[str, Account], resources: Resources
) -> AsyncIterator[Player]:
    """The player that the configuration wants for runs, by their names.

    The jobs of a sweep are played in one place, the first one's.
    """
    compute = next(iter(plans.values())).config.compute
    if isinstance(compute, RayCompute):
        async with open_ray(plans, accounts, resources, compute) as player:
            yield player
    else:
        yield await open_local(plans, accounts, resources)
