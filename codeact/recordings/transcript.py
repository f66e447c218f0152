"""The published form of a conversation: what each message says, parsed and rendered.

The first message is the task as the model saw it; after it the model's messages and those of the
environment follow each other.
"""

import re

import msgspec

from codeact.episode.effects import Message
from codeact.episode.protocol import ASSISTANT_PREFIX, SEPARATOR

_ASSISTANT = f"{ASSISTANT_PREFIX}\n"
_LAST_STEP = "You should take the last step to propose a solution.\n"
_ENVIRONMENT = re.compile(
    r"Observation:\n(?P<observation>.*)\n"
    r"You have (?P<steps>-?\d+) steps left and "
    r"(?P<proposals>-?\d+) chances to propose solution left\.\n"
    rf"(?P<last>{re.escape(_LAST_STEP)})?"
    r"(?:\nExpert feedback:\n(?P<feedback>.*)\n)?",
    re.DOTALL,
)
_NO_COUNT_DOWN = re.compile(
    r"Observation:\n(?P<observation>.*?)\n(?:\nExpert feedback:\n(?P<feedback>.*)\n)?", re.DOTALL
)


class EnvironmentMessage(msgspec.Struct, frozen=True):
    """The environment's message in parts; `render` gives the exact text back.

    `steps_left` and `proposals_left` are None where the message has no count-down.
    """

    observation: str
    steps_left: int | None = None
    proposals_left: int | None = None
    last_step: bool = False
    feedback: str | None = None

    def render(self) -> str:
        text = f"Observation:\n{self.observation}\n"
        if self.steps_left is not None:
            text += (
                f"You have {self.steps_left} steps left and {self.proposals_left} "
                "chances to propose solution left.\n"
            )
        if self.last_step:
            text += _LAST_STEP
        if self.feedback is not None:
            text += f"\nExpert feedback:\n{self.feedback}\n"
        return text


def parse_environment(message: str) -> EnvironmentMessage | None:
    """Parse a message of the environment; None if the text is not one."""
    if found := _ENVIRONMENT.fullmatch(message):
        return EnvironmentMessage(
            observation=found["observation"],
            steps_left=int(found["steps"]),
            proposals_left=int(found["proposals"]),
            last_step=found["last"] is not None,
            feedback=found["feedback"],
        )
    if found := _NO_COUNT_DOWN.fullmatch(message):
        return EnvironmentMessage(found["observation"], feedback=found["feedback"])
    return None


def policy_text(content: str) -> str:
    """Return what the model wrote in a recorded assistant message."""
    return content.removeprefix(_ASSISTANT).removesuffix("\n")


def assistant_content(text: str) -> str:
    """Render what a model wrote as it is recorded; the inverse of `policy_text`."""
    if text == "":
        return _ASSISTANT
    prefix = "" if text.lstrip().startswith(ASSISTANT_PREFIX) else _ASSISTANT
    return f"{prefix}{text}\n"


class RecordedTurn(msgspec.Struct, frozen=True):
    """What the model wrote, and the environment's reply if it was recorded.

    Published recordings lack the reply to an episode's last turn. `logged` is False for an empty
    completion, which left no message.
    """

    text: str
    environment: EnvironmentMessage | None = None
    logged: bool = True


def prompt_of(first_message: str) -> str:
    """Return the task's own text out of the first message, which has instructions before it."""
    return first_message.rpartition(f"{SEPARATOR}Task:\n")[2].removesuffix("\n")


def turns_of(messages: list[Message], steps: int) -> tuple[RecordedTurn, ...]:
    """Pair each message of the model with the environment's reply.

    An empty completion was not recorded as a message, though it took a step: two messages of the
    environment then follow each other.
    """
    turns: list[RecordedTurn] = []
    text: str | None = None
    for message in messages[1:]:
        if message["role"] == "assistant":
            if text is not None:
                turns.append(RecordedTurn(text))
            text = policy_text(message["content"])
        else:
            environment = parse_environment(message["content"])
            if environment is None:
                raise ValueError(f"not the environment's words: {message['content'][:80]!r}")
            turns.append(RecordedTurn(text or "", environment, logged=text is not None))
            text = None
    if text is not None:
        turns.append(RecordedTurn(text))
    turns.extend(RecordedTurn("", logged=False) for _ in range(steps - len(turns)))
    return tuple(turns)
