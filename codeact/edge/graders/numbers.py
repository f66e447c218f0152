"""Strict verdicts: numbers (being written)."""

from codeact.edge.sandboxes.base import Sandbox
from codeact.episode.effects import Verdict
from codeact.episode.task import Task


async def plain_number(task: Task, answer: str, sandbox: Sandbox) -> Verdict:
    """Judge strictly."""
    raise NotImplementedError
