"""The `code_fenced` strategy: act by a fenced block of Python, answer by a line ``ANSWER:``."""

from codeact.episode.messages import Answer
from codeact.episode.prompts.base import Action
from codeact.episode.prompts.format import ActionFormat
from codeact.episode.prompts.parsing import (
    Block,
    Fault,
    answer_after,
    fenced_blocks,
    is_python,
    marked_outside,
)
from codeact.episode.prompts.worked import Step
from codeact.episode.settings import TurnSettings
from codeact.episode.task import ToolSpec

MARK = "ANSWER:"
_CODE = """\
You solve tasks with Python code that is run for you; variables are kept from turn to turn.

In every turn, {think}do exactly one of these two things:

1) Write one fenced block of Python. It is run, and you read what it prints:
```python
print(12 + 30)
```
2) Give your final answer in the form that the task asks for, on a line of its own outside of any \
fence:
ANSWER: 42
An answer of several lines, such as a function, is a fenced block under a line with nothing but \
ANSWER:
"""
_NO_CODE = """\
You solve tasks step by step.

{think}give your final answer in the form that the task asks for, on a line of its own:
ANSWER: 42
An answer of several lines, such as a function, is a fenced block under a line with nothing but \
ANSWER:
"""


class FencedCodeStrategy(ActionFormat):
    """Python in a Markdown fence, answers on a marked line."""

    name = "code_fenced"
    acts_by = "code"
    how_to_go_on = (
        "To run code, write one block between a line ```python and a line ```. To answer, write a "
        "line that begins with ANSWER: outside of any fence."
    )
    how_to_answer = "write a line that begins with ANSWER:"

    def instruction(self, turns: TurnSettings, tools: tuple[ToolSpec, ...]) -> str:
        if turns.use_tools:
            return _CODE.format(think="think first in a few sentences. Then " * self._thinks)
        text = _NO_CODE.format(think="Think first in a few sentences. Then " * self._thinks)
        return text if self._thinks else text.replace("\n\ngive", "\n\nGive")

    @property
    def _thinks(self) -> bool:
        return self.style.thought

    def written(self, step: Step) -> str:
        thought = f"{step.thought}\n" if self.style.thought else ""
        if step.code:
            return f"{thought}```python\n{step.code}\n```"
        if "\n" in step.answer:
            return f"{thought}{MARK}\n```python\n{step.answer}\n```"
        return f"{thought}{MARK} {step.answer}"

    def read(
        self, answer: Answer, turns: TurnSettings, tools: tuple[ToolSpec, ...]
    ) -> list[Action]:
        """An answer wins over code; of several blocks, all are run, one after the other."""
        text = answer.text
        blocks = fenced_blocks(text)
        if (line := marked_outside(text, MARK, blocks)) is not None:
            found = answer_after(text, line)
            return [Action("propose", found) if found else self.refused_answer(_EMPTY)]
        python = [block for block in blocks if is_python(block)]
        code = "\n".join(block.content for block in python if block.closed)
        if not code.strip():
            raise Fault(_fault(python))
        if not turns.use_tools:
            raise Fault("no code is run for this task")
        return [Action("execute", code)]

    def acted_until(self, text: str) -> int | None:
        try:
            blocks = fenced_blocks(text)
        except Fault:
            return None
        line = marked_outside(text, MARK, blocks)
        ends = [block.end for block in blocks if is_python(block) and block.closed][:1]
        ends += [line.end] if line else []
        return min(ends, default=None)


_EMPTY = "there is no answer after ANSWER:"


def _fault(python: list[Block]) -> str:
    if any(not block.closed for block in python):
        return "its block of code is not closed by a line ```"
    if python:
        return "its block of code is empty"
    return "it has neither a fenced block of Python nor a line that begins with ANSWER:"
