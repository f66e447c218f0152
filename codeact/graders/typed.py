"""Tasks that a person typed: nothing but that person knows what is right."""

from codeact.episode.effects import Verdict
from codeact.episode.task import Task
from codeact.exceptions import GraderFailure
from codeact.sandboxes.base import Sandbox


async def strict(task: Task, answer: str, sandbox: Sandbox) -> Verdict:
    """Raise `GraderFailure`: the person is asked while the episode is played, and only then."""
    raise GraderFailure(
        f"{task.key} was typed by a person and has no reference; its verdicts are those that they "
        "gave in codeact chat",
        final=True,
    )


async def mint(task: Task, answer: str, sandbox: Sandbox) -> Verdict:
    """Raise `GraderFailure`, as `strict` does."""
    return await strict(task, answer, sandbox)
