"""Multiple choice: the options in a prompt, and the letter that an answer commits to."""

import re

from codeact.edge.sandboxes.base import Sandbox
from codeact.episode.effects import Verdict
from codeact.episode.task import Task

_TAILS = (". which option is correct?", ". which one is correct?")


def options(prompt: str) -> dict[str, str]:
    """Read the options off a prompt: letter -> text, both lower-cased (grading.md, mmlu)."""
    found: dict[str, str] = {}
    for piece in prompt.rsplit("Options: ", 1)[-1].split(" , "):
        parts = piece.strip("[]' ").split(")")
        if len(parts) < 2:
            continue
        text = parts[1].lower().strip().strip(".")
        for tail in _TAILS:
            text = text.replace(tail, "")
        found[parts[0].lower().strip()] = text.strip()
    return found


async def committed_letter(task: Task, answer: str, _sandbox: Sandbox) -> Verdict:
    """Strict: the one letter the answer commits to must be the reference."""
    raise NotImplementedError
