"""Verdicts on yes and no: the truth value that an answer commits to, or the word in it."""

import string

from codeact.episode.effects import Verdict
from codeact.episode.task import Task
from codeact.graders.commitment import Commitment, commitment, last_part
from codeact.graders.containment import close_or_contained
from codeact.sandboxes.base import Sandbox

TRUTH = {"yes": True, "true": True, "no": False, "false": False}


async def mint(task: Task, answer: str, _sandbox: Sandbox) -> Verdict:
    """Grade as published: a text that contains the reference."""
    return close_or_contained(task, answer)


async def strict(task: Task, answer: str, _sandbox: Sandbox) -> Verdict:
    """Grade the one truth value that the answer commits to."""
    found = committed_truth(answer, task.prompt)
    if found.problem:
        return Verdict(False, found.problem)
    detail = f"read as {'yes' if found.value else 'no'}"
    return Verdict(found.value == TRUTH[str(task.reference).strip().lower()], detail)


def committed_truth(answer: str, question: str) -> Commitment:
    """Find the truth value that an answer commits to."""
    return commitment(answer, _truth, question=question, truth=True)


def _truth(text: str) -> bool | None:
    said = truth(text)
    return truth(last_part(text)) if said is None else said


def truth(text: str) -> bool | None:
    """Read a truth value: the first word if it is one, else the only one there is."""
    words = [word.strip(string.punctuation + "“”") for word in text.lower().split()]
    first = TRUTH.get(words[0]) if words else None
    if first is not None:
        rest = {TRUTH[word] for word in words[1:3] if word in TRUTH}
        return None if rest - {first} else first
    said = {TRUTH[word] for word in words if word in TRUTH and word != "no"}
    return said.pop() if len(said) == 1 and "not" not in words else None
