"""The `code` strategy: act by writing Python between tags (docs/protocol.md)."""

from collections.abc import Sequence

from codeact.episode import protocol
from codeact.episode.effects import Counts
from codeact.episode.messages import Answer, Message, RequestOptions, assistant_message
from codeact.episode.prompts.base import Action, Observation
from codeact.episode.prompts.examples import example_for
from codeact.episode.settings import TurnSettings
from codeact.episode.task import Task, ToolSpec

_INSTRUCTION = """\
You solve tasks with the help of a Python interpreter that keeps its variables from turn to turn.

In every turn, think first and write your reasoning between thought tags, for example:
<thought> I should add the two prices. </thought>
Then do exactly one of these two things:

1) Run Python code and read what it prints. Put the code between execute tags, for example:
<execute> print(12 + 30) </execute>
2) Give your final answer in the form that the task asks for, between solution tags, for example:
The total is <solution> 42 </solution>

{limits}
"""

_WITHOUT_CODE = """\
You solve tasks step by step.

In every turn, think first and write your reasoning between thought tags, for example:
<thought> I should add the two prices. </thought>
Then give your final answer in the form that the task asks for, between solution tags, for example:
The total is <solution> 42 </solution>

{limits}
"""


class CodeStrategy:
    """Python in ``<execute>``, answers in ``<solution>``."""

    name = "code"

    def first_message(
        self, task: Task, task_type: str, turns: TurnSettings, tools: tuple[ToolSpec, ...]
    ) -> str:
        """Return the four parts of docs/protocol.md, "The first message"."""
        template = _INSTRUCTION if turns.use_tools else _WITHOUT_CODE
        head = template.format(limits=_limits(turns))
        if turns.use_tools and tools:
            head += "\n" + describe_tools(tools)
        names = {tool.name for tool in tools}
        kind = str(task.metadata.get("task_type", ""))
        example = example_for(task_type, code=turns.use_tools, tools=names, kind=kind)
        parts = [head, example, f"Task:\n{task.prompt}"]
        return protocol.SEPARATOR.join(part.strip("\n") for part in parts) + "\n"

    def opening(
        self, task: Task, task_type: str, turns: TurnSettings, tools: tuple[ToolSpec, ...]
    ) -> list[Message]:
        return [{"role": "user", "content": self.first_message(task, task_type, turns, tools)}]

    def options(
        self, turns: TurnSettings, tools: tuple[ToolSpec, ...], *, plain: bool
    ) -> RequestOptions:
        return RequestOptions(protocol.POLICY_STOP_PLAIN if plain else protocol.POLICY_STOP)

    def assistant(self, answer: Answer) -> Message:
        return assistant_message(answer, protocol.assistant_content(answer.text))

    def actions(self, answer: Answer, turns: TurnSettings) -> list[Action]:
        """One action: a solution wins over code (docs/protocol.md, "Actions")."""
        if "<solution>" in answer.text:
            solution = protocol.between_tags(answer.text, "solution")
            return [Action("propose", solution, None if solution else protocol.PARSE_FAILURE)]
        code = protocol.between_tags(answer.text, "execute")
        if code and turns.use_tools:
            return [Action("execute", code)]
        return [Action("invalid", code, protocol.PARSE_FAILURE)]

    def environment(
        self,
        observations: Sequence[Observation],
        counts: Counts,
        turns: TurnSettings,
        feedback: str | None,
    ) -> list[Message]:
        observation = "\n".join(one.text for one in observations)
        text = f"Observation:\n{observation}\n"
        if turns.count_down:
            text += count_down(counts, turns)
        if feedback is not None:
            text += f"\nExpert feedback:\n{feedback}\n"
        return [{"role": "user", "content": text}]


class VerbatimStrategy(CodeStrategy):
    """As `CodeStrategy`, but the policy reads its own messages exactly as it wrote them.

    So a prompt extends, token by token, what the server has seen: `CodeStrategy` puts a line in
    front of each message and a line end behind it, as the published transcripts have them.
    """

    name = "code_verbatim"

    def assistant(self, answer: Answer) -> Message:
        return assistant_message(answer, answer.text)


def count_down(counts: Counts, turns: TurnSettings) -> str:
    """What is left, and the nudge before the last step."""
    steps = turns.max_steps - counts.steps
    proposals = turns.max_propose_solution - counts.propose_solution
    text = f"You have {steps} steps left and {proposals} chances to propose solution left.\n"
    if steps <= 1:
        text += "You should take the last step to propose a solution.\n"
    return text


def describe_tools(tools: tuple[ToolSpec, ...]) -> str:
    """The functions that are already in the interpreter's namespace."""
    lines = ["These functions are already defined in the interpreter:"]
    for number, tool in enumerate(tools, 1):
        lines += [f"[{number}] {tool.signature}", tool.description]
    return "\n".join(lines) + "\n"


def _limits(turns: TurnSettings) -> str:
    steps, proposals = turns.max_steps, turns.max_propose_solution
    turn_word = "turn" if steps == 1 else "turns"
    chance_word = "time" if proposals == 1 else "times"
    return (
        f"You have {steps} {turn_word} in all, each to run code or to answer, "
        f"and you may answer at most {proposals} {chance_word}."
    )
