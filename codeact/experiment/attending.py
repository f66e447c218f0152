"""Runs in which a person takes part: what they see, and what only they can judge."""

from codeact.episode.effects import Verdict
from codeact.episode.task import Task
from codeact.exceptions import UserFailure
from codeact.experiment.config.schema import RunConfig
from codeact.experiment.plan import Plan
from codeact.models.person.terminal import terminal
from codeact.models.person.view import EpisodeView
from codeact.sandboxes.base import Sandbox


def view_of(config: RunConfig) -> EpisodeView | None:
    """Return what shows a run's episodes to the person in it, None where there is none."""
    part = config.person
    return None if part is None else EpisodeView(part)


def judged_by_person(plan: Plan) -> Plan:
    """Return a plan whose answers the person at the terminal judges."""
    return plan._replace(assignments=[one._replace(grader=_ask) for one in plan.assignments])


async def _ask(task: Task, answer: str, sandbox: Sandbox) -> Verdict:
    """Ask the person whether an answer is right; raises `UserFailure` where they have left."""
    while (said := await terminal().ask("is that answer right? (y or n)> ")) is not None:
        match said.strip().lower():
            case "y" | "yes":
                return Verdict(correct=True, detail="by the person")
            case "n" | "no":
                return Verdict(correct=False, detail="by the person")
            case other:
                terminal().say(f"{other!r} is neither y nor n")
    raise UserFailure("the person left before they judged the answer", final=True)
