"""Strict verdicts on words (being written)."""

from codeact.edge.sandboxes.base import Sandbox
from codeact.episode.effects import Verdict
from codeact.episode.task import Task

TRUTH = ("yes", "no", "true", "false")


async def short_answer(task: Task, answer: str, sandbox: Sandbox) -> Verdict:
    """Judge strictly."""
    raise NotImplementedError


async def yes_or_no(task: Task, answer: str, sandbox: Sandbox) -> Verdict:
    """Judge strictly."""
    raise NotImplementedError
