"""A task is data: a prompt, a reference, and what its grader and REPL need."""

import hashlib
from typing import Any

import msgspec


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """One problem of a data set.

    `name` is the data set (``gsm8k``) and `id` unique within it. `reference` is what the
    family's grader compares with, and `metadata` the rest of the task file's line that the
    grader wants. `setup` is trusted code that the REPL runs, unseen, before the first cell;
    `tools` names the functions in its namespace.
    """

    name: str
    id: str
    prompt: str
    reference: Any
    metadata: dict[str, Any] = {}
    setup: str = ""
    tools: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """``name/id``, for messages and logs."""
        return f"{self.name}/{self.id}"

    @property
    def digest(self) -> str:
        """16 hex digits over all fields; a resumed run compares content, not positions."""
        canonical = msgspec.json.encode(self, order="deterministic")
        return hashlib.sha256(canonical).hexdigest()[:16]


class ToolSpec(msgspec.Struct, frozen=True):
    """How a function in the REPL is described to the policy.

    `parameters` is the JSON schema of its arguments, None where the signature says all that there
    is to say. `without_code` describes it to a policy that writes no code, where `description`
    speaks of code.
    """

    name: str
    signature: str
    description: str
    parameters: dict[str, Any] | None = None
    without_code: str = ""
