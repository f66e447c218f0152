"""Probes what episodes depend on: the models, the sandbox, the services behind tools."""

from codeact.exceptions import Cause, CodeactError, ProviderFailure, SandboxFailure
from codeact.experiment.booking import booking_checks
from codeact.experiment.budget import Account, BudgetSettings
from codeact.experiment.driver import Environment
from codeact.models.base import ModelClient, Probed

_SECONDS = 30.0


async def probe(environment: Environment, cause: Cause) -> None:
    """Probe what failures with this cause depend on.

    Raises a `CodeactError` that says what is wrong. There is nothing to probe for a fault of
    codeact itself.
    """
    match cause:
        case "provider":
            await _model("model", environment.policy, environment)
        case "user":
            if environment.critic is not None:
                await _model("feedback.model", environment.critic, environment)
        case "sandbox" | "grader":
            await _sandbox(environment)
        case "tool":
            await environment.tools.probe()
        case _:
            pass


async def _model(key: str, client: ModelClient, environment: Environment) -> None:
    if not isinstance(client, Probed):
        return
    try:
        with booking_checks(environment.account or Account(BudgetSettings()), client):
            await client.probe()
    except CodeactError as error:
        raise ProviderFailure(f"{key}: {error}") from error


async def _sandbox(environment: Environment) -> None:
    async with await environment.sandbox.session() as session:
        found = await session.evaluate("RESULT = 6 * 7", seconds=_SECONDS)
    if not found.ok or found.value != 42:
        raise SandboxFailure(
            f"a session opens, but runs no code: {found.error or found.value!r}; "
            "see `codeact sandbox check`"
        )
