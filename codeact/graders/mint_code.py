"""The published verdict on code: solution and tests in one process, wrong if anything is raised."""

from codeact.episode.effects import Verdict
from codeact.episode.task import Task
from codeact.graders import evaluation
from codeact.sandboxes.base import Sandbox

SECONDS = 10.0


async def grade(task: Task, answer: str, sandbox: Sandbox) -> Verdict:
    """Grade humaneval and mbpp; fences are not stripped, and an early exit is a failure."""
    source = f"{answer}\n{task.reference}"
    outcome = await evaluation.evaluate(sandbox, source, seconds=SECONDS)
    return Verdict(True) if outcome.ok else evaluation.wrong(outcome)
