"""What a grader is: it judges a proposed answer against a task's reference."""

from typing import Literal, Protocol

from codeact.episode.effects import Verdict
from codeact.episode.task import Task
from codeact.sandboxes.base import Sandbox

Mode = Literal["mint", "strict"]


class Grader(Protocol):
    """Judges answers of one task family in one mode."""

    async def __call__(self, task: Task, answer: str, sandbox: Sandbox, /) -> Verdict:
        """Judge `answer`; untrusted text is evaluated only in a session of `sandbox`.

        Raises `GraderFailure` when no verdict can be reached, `SandboxFailure` when the sandbox
        breaks. An answer that fails, hangs or attacks the grader is simply not correct. Waiting for
        a session or a processor is not the answer's time: `evaluation.evaluate` keeps its clock.
        """
        ...
