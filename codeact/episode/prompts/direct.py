"""The `direct` strategy: no tools and one message, which answers between solution tags."""

from codeact.episode.messages import Answer
from codeact.episode.prompts.base import Action
from codeact.episode.prompts.code import SOLUTION, instruction, proposed, solution
from codeact.episode.prompts.format import ActionFormat
from codeact.episode.prompts.parsing import Fault
from codeact.episode.prompts.worked import Step
from codeact.episode.settings import TurnSettings
from codeact.episode.task import ToolSpec


class DirectStrategy(ActionFormat):
    """Answers in ``<solution>``, and nothing else. A run of it has one turn (`RunConfig`)."""

    name = "direct"
    acts_by = "nothing"
    how_to_go_on = "Write your answer between solution tags: <solution> 42 </solution>"
    how_to_answer = "write your answer between solution tags"

    def instruction(self, turns: TurnSettings, tools: tuple[ToolSpec, ...]) -> str:
        return instruction(code=False, thought=self.style.thought)

    def described(self, tools: tuple[ToolSpec, ...]) -> str:
        return ""

    def written(self, step: Step) -> str:
        thought = f"<thought> {step.thought} </thought>\n" if self.style.thought else ""
        return thought + solution(step.answer)

    def read(
        self, answer: Answer, turns: TurnSettings, tools: tuple[ToolSpec, ...]
    ) -> list[Action]:
        if SOLUTION not in answer.text:
            raise Fault("it has no answer between solution tags")
        return [proposed(answer.text, self.refusal("its answer is empty or not closed"))]

    def acted_until(self, text: str) -> int | None:
        return None if (at := text.find("</solution>")) < 0 else at + len("</solution>")
