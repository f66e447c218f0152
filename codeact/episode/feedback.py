"""The request to the feedback model: to comment on a turn as an expert user would.

docs/protocol.md, "Feedback", says which parts it sees; the words are ours.
"""

from codeact.episode import protocol
from codeact.episode.effects import Message
from codeact.episode.prompts.code import describe_tools
from codeact.episode.settings import FeedbackSettings
from codeact.episode.task import Task, ToolSpec

_EXAMPLE = """\
You are an expert who watches an assistant solve a task and comments on its latest turn.
Here is one such comment, on a turn that divided by the wrong number:

Expert feedback:
This is NOT GOOD. You divided the distance by the number of stops, but the speed asks for the
distance over the time, which is given in minutes. Convert it to hours first.
"""

_NO_SOLUTION = "(The correct solution is not given to you.)"

_REQUEST = """\
Comment on the assistant's latest turn in a few sentences. Say first whether it is good or not,
then what is wrong or what to do next. Do not write the task's solution for it, and do not give the
final answer away.

Expert feedback:
"""


def feedback_messages(
    task: Task,
    transcript: str,
    settings: FeedbackSettings,
    tools: tuple[ToolSpec, ...],
) -> tuple[Message, ...]:
    """Return one user message; `transcript` is the conversation from ``Task:`` on."""
    solution = str(task.reference) if settings.ground_truth else _NO_SOLUTION
    parts = [_EXAMPLE]
    if tools:
        parts.append(describe_tools(tools))
    parts += [transcript, f"Correct solution:\n{solution}", _REQUEST]
    content = protocol.SEPARATOR.join(part.strip("\n") for part in parts)
    return ({"role": "user", "content": content},)
