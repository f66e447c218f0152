"""For tasks that no answer solves: only the world that the tools act on says when one is solved."""

from codeact.episode.effects import Verdict
from codeact.episode.task import Task
from codeact.sandboxes.base import Sandbox


async def grade(_task: Task, _answer: str, _sandbox: Sandbox) -> Verdict:
    """Judge any answer wrong: an episode whose world is solved has ended before it."""
    return Verdict(False, "the task is solved by its tools, and not by an answer")
