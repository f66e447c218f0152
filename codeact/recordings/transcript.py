"""The published form of a conversation: what each message says, parsed and rendered.

The first message is the task as the model saw it; after it the model's messages and those of the
environment follow each other.
"""

import re
from collections.abc import Callable

import msgspec

from codeact.episode.effects import Turn
from codeact.episode.messages import Answer, Message, answer_of
from codeact.episode.protocol import SEPARATOR, policy_text
from codeact.episode.record import EpisodeRecord

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


class RecordedTurn(msgspec.Struct, frozen=True):
    """What the model wrote, and the environment's reply if it was recorded.

    Published recordings lack the reply to an episode's last turn. `logged` is False for an empty
    completion, which left no message. `observations` are those of the turn's actions, in order.
    `said` is the environment's last message where it is not in the published form.
    """

    answer: Answer
    environment: EnvironmentMessage | None = None
    logged: bool = True
    observations: tuple[str, ...] = ()
    said: str | None = None

    @property
    def text(self) -> str:
        """What the model wrote as text."""
        return self.answer.text


def prompt_of(first_message: str) -> str:
    """Return the task's own text out of the first message, which has instructions before it."""
    task = first_message.rpartition(f"{SEPARATOR}Task:\n")[2]
    return task.removeprefix("Task:\n").removesuffix("\n")


def turns_of(messages: list[Message], steps: int) -> tuple[RecordedTurn, ...]:
    """Pair each message of the model with the environment's reply, in the published form.

    An empty completion was not recorded as a message, though it took a step: two messages of the
    environment then follow each other.
    """
    turns: list[RecordedTurn] = []
    answer: Answer | None = None
    for message in messages[1:]:
        if message["role"] == "assistant":
            if answer is not None:
                turns.append(RecordedTurn(answer))
            answer = answer_of(message, policy_text(message["content"]))
        else:
            environment = parse_environment(message["content"])
            if environment is None:
                raise ValueError(f"not the environment's words: {message['content'][:80]!r}")
            turns.append(
                RecordedTurn(
                    answer or Answer(),
                    environment,
                    logged=answer is not None,
                    observations=(environment.observation,),
                )
            )
            answer = None
    if answer is not None:
        turns.append(RecordedTurn(answer))
    turns.extend(RecordedTurn(Answer(), logged=False) for _ in range(steps - len(turns)))
    return tuple(turns)


def turns_of_record(record: EpisodeRecord) -> tuple[RecordedTurn, ...]:
    """Return the turns of a run's record; raises `ValueError` where it contradicts itself."""
    if record.version == 1 or not record.messages:
        return turns_of(record.messages, len(record.turns))
    messages = record.messages
    places = [_place(turn, number, messages) for number, turn in enumerate(record.turns, 1)]
    ends = [*places, len(messages)][1:]
    return tuple(
        _recorded(turn, messages[place], messages[place + 1 : end], named=bool(record.prompt))
        for turn, place, end in zip(record.turns, places, ends, strict=True)
    )


def _place(turn: Turn, number: int, messages: list[Message]) -> int:
    return policy_place(turn.message, number, len(messages), lambda place: messages[place]["role"])


def policy_place(
    place: int | None, number: int, messages: int, role_at: Callable[[int], str]
) -> int:
    """Return the place of a turn's message; raises `ValueError` where it is not the policy's."""
    if place is None or not 0 <= place < messages:
        raise ValueError(f"its turn {number} names no message ({place} of {messages})")
    if (role := role_at(place)) != "assistant":
        raise ValueError(f"its turn {number} names a message of the {role}")
    return place


def _recorded(turn: Turn, message: Message, after: list[Message], *, named: bool) -> RecordedTurn:
    """Return a turn; one of a `named` prompt may have words that only seem to be published ones."""
    content = message["content"]
    text = policy_text(content) if turn.text is None else turn.text
    if not after:
        return RecordedTurn(answer_of(message, text))
    said = after[-1]["content"]
    environment = parse_environment(said)
    if environment is None or (named and environment.observation != turn.observation):
        environment = EnvironmentMessage(turn.observation, feedback=turn.feedback)
    several = tuple(one.observation for one in turn.actions)
    return RecordedTurn(
        answer_of(message, text),
        environment,
        observations=several or (turn.observation,),
        said=None if environment.render() == said else said,
    )
