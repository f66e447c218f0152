"""What our formats share: the parts of the first message, the limits, the environment's words."""

import copy
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Literal, Self

from codeact.episode import protocol
from codeact.episode.effects import Counts
from codeact.episode.messages import Answer, Message, RequestOptions, assistant_message
from codeact.episode.prompts.base import Action, Observation, Style
from codeact.episode.prompts.called_examples import called_example
from codeact.episode.prompts.examples import example_for
from codeact.episode.prompts.parsing import Fault
from codeact.episode.prompts.worked import Step, Worked, own_example, read_example
from codeact.episode.settings import TurnSettings
from codeact.episode.task import Task, ToolSpec
from codeact.exceptions import ConfigError

NOTHING_WRITTEN = "(empty message)"
"""Stands for a message without a character, which servers do not take back."""
_ACTS = {"code": "to run code or to answer", "tools": "to call tools or to answer"}


class ActionFormat(ABC):
    """A way to act and to answer in text; formats that use function calling extend it."""

    name: str
    acts_by: ClassVar[Literal["code", "tools", "nothing"]]
    reserved: ClassVar[tuple[str, ...]] = ()
    """Names that a task's tools cannot have."""
    setup: ClassVar[str] = ""
    style: Style = Style()
    how_to_go_on: ClassVar[str]
    """What to write, in a sentence or two, for who wrote something else."""
    how_to_answer: ClassVar[str]
    """What to do in the last turn; goes on after "This is the last turn: "."""

    def styled(self, style: Style) -> Self:
        """Return the same format in another style."""
        other = copy.copy(self)
        other.style = style
        return other

    # -- words of a format

    @abstractmethod
    def instruction(self, turns: TurnSettings, tools: tuple[ToolSpec, ...]) -> str:
        """How to act and how to answer, without the limits and the tools."""

    @abstractmethod
    def written(self, step: Step) -> str:
        """A turn of an example as the policy writes it."""

    # -- what the policy reads

    def first_message(
        self, task: Task, task_type: str, turns: TurnSettings, tools: tuple[ToolSpec, ...]
    ) -> str:
        """Return the parts of docs/protocol.md, "The first message"."""
        parts = [self.head(turns, tools)]
        if self.style.example:
            parts.append(self.example(task, task_type, turns, tools))
        parts.append(f"Task:\n{task.prompt}")
        return protocol.SEPARATOR.join(part.strip("\n") for part in parts) + "\n"

    def head(self, turns: TurnSettings, tools: tuple[ToolSpec, ...]) -> str:
        """The instruction with the limits and the tools."""
        head = f"{self.instruction(turns, tools)}\n{limits(turns, self._acts(turns, tools))}\n"
        if turns.use_tools and tools:
            head += "\n" + self.described(tools)
        return head

    def described(self, tools: tuple[ToolSpec, ...]) -> str:
        """The tools in words, for the instruction."""
        return describe_tools(tools) if self.acts_by == "code" else describe_calls(tools)

    def example(
        self, task: Task, task_type: str, turns: TurnSettings, tools: tuple[ToolSpec, ...]
    ) -> str:
        """The worked example as a conversation in one text."""
        worked = self.worked(task, task_type, turns, tools)
        parts = [f"Task:\n{worked.task}"]
        for step in worked.steps:
            parts.append(f"{protocol.ASSISTANT_PREFIX}\n{self.written(step)}")
            if step.observation is not None:
                parts.append(f"Observation:\n{step.observation}")
        return "\n\n".join(parts)

    def worked(
        self, task: Task, task_type: str, turns: TurnSettings, tools: tuple[ToolSpec, ...]
    ) -> Worked:
        """The example that fits a task and the way of acting."""
        names = {tool.name for tool in tools} if turns.use_tools else set()
        own = task.metadata.get("example")
        if own is not None and names and self.acts_by != "nothing":
            return own_example(own, self.acts_by)
        kind = str(task.metadata.get("task_type", ""))
        if self.acts_by == "tools":
            return called_example(task_type, tools=names, kind=kind)
        code = turns.use_tools and self.acts_by == "code"
        return read_example(example_for(task_type, code=code, tools=names, kind=kind))

    def opening(
        self, task: Task, task_type: str, turns: TurnSettings, tools: tuple[ToolSpec, ...]
    ) -> list[Message]:
        first = self.first_message(task, task_type, turns, tools)
        if not self.style.system:
            return [{"role": "user", "content": first}]
        head, _, rest = first.partition(protocol.SEPARATOR)
        return [{"role": "system", "content": f"{head}\n"}, {"role": "user", "content": rest}]

    def options(
        self, turns: TurnSettings, tools: tuple[ToolSpec, ...], *, plain: bool
    ) -> RequestOptions:
        self.refuse_reserved(tools)
        return RequestOptions(protocol.POLICY_STOP_PLAIN if plain else protocol.POLICY_STOP)

    def refuse_reserved(self, tools: tuple[ToolSpec, ...]) -> None:
        """Raise `ConfigError` for a tool that has a name of the format's own."""
        for tool in tools:
            if tool.name in self.reserved:
                raise ConfigError(
                    f"prompt={self.name} has {tool.name} for itself, and a task has a tool of "
                    "that name: choose another prompt, such as prompt=code"
                )

    def assistant(self, answer: Answer) -> Message:
        return assistant_message(answer, answer.text or NOTHING_WRITTEN)

    # -- what the policy does

    @abstractmethod
    def read(
        self, answer: Answer, turns: TurnSettings, tools: tuple[ToolSpec, ...]
    ) -> Sequence[Action]:
        """Find the actions of a message; raises `Fault` where it has none."""

    def acted_until(self, text: str) -> int | None:
        """Where in a text the first action ends, None where there is none."""
        return None

    def actions(
        self, answer: Answer, turns: TurnSettings, tools: tuple[ToolSpec, ...]
    ) -> Sequence[Action]:
        try:
            return self.read(answer, turns, tools if turns.use_tools else ())
        except Fault as fault:
            return [Action("invalid", "", self.refusal(fault))]

    def refusal(self, fault: Fault | str) -> str:
        """What the policy reads of a message that cannot be used."""
        return f"This message cannot be used, because {fault}.\n{self.how_to_go_on}"

    def refused_answer(self, fault: Fault | str) -> Action:
        """Return the proposal that an unusable answer is."""
        return Action("propose", "", self.refusal(fault))

    # -- the environment

    def environment(
        self,
        observations: Sequence[Observation],
        counts: Counts,
        turns: TurnSettings,
        feedback: str | None,
    ) -> list[Message]:
        observation = "\n".join(one.text for one in observations)
        text = f"Observation:\n{observation}\n{self.count_down(counts, turns)}"
        if feedback is not None:
            text += f"\nExpert feedback:\n{feedback}\n"
        return [{"role": "user", "content": text}]

    def count_down(self, counts: Counts, turns: TurnSettings) -> str:
        """What is left, and the nudge before the last step; nothing if it is switched off."""
        if not turns.count_down:
            return ""
        steps = turns.max_steps - counts.steps
        proposals = turns.max_propose_solution - counts.propose_solution
        text = f"Left: {_count(steps, 'turn')}, {_count(proposals, 'answer')}.\n"
        return f"{text}This is the last turn: {self.how_to_answer}.\n" if steps <= 1 else text

    def _acts(self, turns: TurnSettings, tools: tuple[ToolSpec, ...]) -> str:
        can = self.acts_by == "code" or (self.acts_by == "tools" and tools)
        return _ACTS[self.acts_by] if turns.use_tools and can else "to answer"


def limits(turns: TurnSettings, acts: str = _ACTS["code"]) -> str:
    """The sentence that tells the limits."""
    return (
        f"You have {_count(turns.max_steps, 'turn')} in all, each {acts}, and you may answer at "
        f"most {_count(turns.max_propose_solution, 'time')}."
    )


def describe_tools(tools: tuple[ToolSpec, ...]) -> str:
    """The functions that are already in the interpreter's namespace."""
    lines = ["These functions are already defined in the interpreter:"]
    for number, tool in enumerate(tools, 1):
        lines += [f"[{number}] {tool.signature}", tool.description]
    return "\n".join(lines) + "\n"


def describe_calls(tools: tuple[ToolSpec, ...]) -> str:
    """The tools that a policy calls without code."""
    lines = ["These are the tools:"]
    for number, tool in enumerate(tools, 1):
        lines += [f"[{number}] {tool.signature}", tool.without_code or tool.description]
    return "\n".join(lines) + "\n"


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"
