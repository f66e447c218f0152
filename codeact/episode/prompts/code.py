"""The `code` strategy: act by writing Python between tags (docs/protocol.md)."""

from codeact.episode import protocol
from codeact.episode.effects import Counts
from codeact.episode.messages import Answer, Message, assistant_message
from codeact.episode.prompts.base import Action
from codeact.episode.prompts.format import ActionFormat, limits
from codeact.episode.prompts.worked import Step
from codeact.episode.settings import TurnSettings
from codeact.episode.task import ToolSpec

_WITH_CODE = (
    "You solve tasks with the help of a Python interpreter that keeps its variables from turn \
to turn."
)
_WITHOUT_CODE = "You solve tasks step by step."
_THINK = """\
In every turn, think first and write your reasoning between thought tags, for example:
<thought> I should add the two prices. </thought>
Then """
_EITHER = """\
do exactly one of these two things:

1) Run Python code and read what it prints. Put the code between execute tags, for example:
<execute> print(12 + 30) </execute>
2) Give your final answer in the form that the task asks for, between solution tags, for example:
The total is <solution> 42 </solution>
"""
_ANSWER = """\
give your final answer in the form that the task asks for, between solution tags, for example:
The total is <solution> 42 </solution>
"""
SOLUTION = "<solution>"


class CodeStrategy(ActionFormat):
    """Python in ``<execute>``, answers in ``<solution>``."""

    name = "code"
    acts_by = "code"
    how_to_go_on = protocol.PARSE_FAILURE
    how_to_answer = "propose a solution"

    def instruction(self, turns: TurnSettings, tools: tuple[ToolSpec, ...]) -> str:
        return instruction(code=turns.use_tools, thought=self.style.thought)

    def head(self, turns: TurnSettings, tools: tuple[ToolSpec, ...]) -> str:
        head = f"{self.instruction(turns, tools)}\n{limits(turns)}\n"
        return f"{head}\n{self.described(tools)}" if turns.use_tools and tools else head

    def written(self, step: Step) -> str:
        thought = f"<thought> {step.thought} </thought>\n" if self.style.thought else ""
        if step.code:
            return f"{thought}<execute>\n{step.code}\n</execute>"
        return thought + solution(step.answer)

    def assistant(self, answer: Answer) -> Message:
        return assistant_message(answer, protocol.assistant_content(answer.text))

    def read(
        self, answer: Answer, turns: TurnSettings, tools: tuple[ToolSpec, ...]
    ) -> list[Action]:
        """One action: a solution wins over code (docs/protocol.md, "Actions")."""
        if SOLUTION in answer.text:
            return [proposed(answer.text, protocol.PARSE_FAILURE)]
        code = protocol.between_tags(answer.text, "execute")
        if code and turns.use_tools:
            return [Action("execute", code)]
        return [Action("invalid", code, protocol.PARSE_FAILURE)]

    def acted_until(self, text: str) -> int | None:
        ends = [at + len(tag) for tag in _ENDS if (at := text.find(tag)) >= 0]
        return min(ends, default=None)

    def count_down(self, counts: Counts, turns: TurnSettings) -> str:
        """What is left, and the nudge before the last step, in the published words."""
        if not turns.count_down:
            return ""
        steps = turns.max_steps - counts.steps
        proposals = turns.max_propose_solution - counts.propose_solution
        text = f"You have {steps} steps left and {proposals} chances to propose solution left.\n"
        if steps <= 1:
            text += "You should take the last step to propose a solution.\n"
        return text


class VerbatimStrategy(CodeStrategy):
    """As `CodeStrategy`, but the policy reads its own messages exactly as it wrote them.

    So a prompt extends, token by token, what the server has seen: `CodeStrategy` puts a line in
    front of each message and a line end behind it, as the published transcripts have them.
    """

    name = "code_verbatim"

    def assistant(self, answer: Answer) -> Message:
        return assistant_message(answer, answer.text)


_ENDS = ("</execute>", "</solution>")


def instruction(*, code: bool, thought: bool) -> str:
    """How to act by code, if that can be, and how to answer."""
    do = _EITHER if code else _ANSWER
    lead = _THINK if thought else "In every turn, " if code else ""
    whole = lead + do
    return f"{_WITH_CODE if code else _WITHOUT_CODE}\n\n{whole[0].upper()}{whole[1:]}"


def solution(answer: str) -> str:
    """An example's answer: within a sentence, or as a block where it has several lines."""
    if "\n" in answer:
        return f"<solution>\n{answer}\n</solution>"
    return f"The answer is <solution> {answer} </solution>"


def proposed(text: str, refusal: str) -> Action:
    """The proposal of a text with a solution in it."""
    found = protocol.between_tags(text, "solution")
    return Action("propose", found, None if found else refusal)
