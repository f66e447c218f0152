"""The feedback model's part: what it is asked about a turn, and how its comment is read.

docs/protocol.md, "Feedback", says which parts it sees; the words are ours.
"""

import hashlib
import re
from typing import NamedTuple

import msgspec

from codeact.episode import protocol
from codeact.episode.leaks import Known, find_leaks
from codeact.episode.messages import Message
from codeact.episode.prompts.format import describe_tools
from codeact.episode.settings import FeedbackSettings
from codeact.episode.task import Task, ToolSpec

_EXAMPLE = """\
You are an expert who watches an assistant solve a task and comments on its latest turn.
Here is one such comment, on a turn that divided by the wrong number:

Expert feedback:
{verdict} You divided the distance by the number of stops, but the speed asks for the
distance over the time, which is given in minutes. Convert it to hours first.
"""

_NO_SOLUTION = "(The correct solution is not given to you.)"

_RESERVE = """\
Do not write the task's solution for it, and do not give the
final answer away.

Expert feedback:
"""
_REQUEST = f"""\
Comment on the assistant's latest turn in a few sentences. Say first whether it is good or not,
then what is wrong or what to do next. {_RESERVE}"""
_BINARY_REQUEST = f"""\
Judge the assistant's latest turn. Begin with one of these two sentences, word for word:
{protocol.GOOD}
{protocol.BAD}
Then give your reason in a sentence or two. {_RESERVE}"""

_WITHOUT_ANSWER = """\
Your comment gives the answer away. Write it anew, for the same turn, without the answer, its
numbers or its code: say what is wrong or what to do next.

Expert feedback:
"""
_WITH_VERDICT = f"""\
Your comment does not begin as it should. Write it anew, for the same turn, and begin with one of
these two sentences, word for word:
{protocol.GOOD}
{protocol.BAD}

Expert feedback:
"""

_MOST_UNREADABLE = 2
"""How often binary feedback that is neither good nor bad is asked for anew."""
_FIRST_SENTENCE = re.compile(r".*?(?:[.!?](?=\s|$)|\n|$)", re.DOTALL)
_LONGEST_SENTENCE = 1000
_WORD = re.compile(r"[a-z]+(?:['’]t)?")
_GOOD = {"good", "correct"}
_BAD = {"bad", "incorrect", "wrong"}
_NEGATIONS = {"not", "never", "no", "neither", "cannot"}
_REACH = 3
"""How many words before a judgement a negation may stand."""


class Comment(NamedTuple):
    """A comment as the policy will read it; `text` is None for one that cannot be read.

    `again` is what to tell its author, who is asked for it anew.
    """

    text: str | None
    leaks: tuple[str, ...] = ()
    again: str | None = None


def feedback_messages(
    task: Task,
    transcript: str,
    settings: FeedbackSettings,
    tools: tuple[ToolSpec, ...],
) -> tuple[Message, ...]:
    """Return one user message; `transcript` is the conversation from ``Task:`` on."""
    binary = settings.kind == "binary"
    solution = str(task.reference) if settings.ground_truth else _NO_SOLUTION
    parts = [_EXAMPLE.format(verdict=protocol.BAD if binary else "This is NOT GOOD.")]
    if tools:
        parts.append(describe_tools(tools))
    request = _BINARY_REQUEST if binary else _REQUEST
    parts += [transcript, f"Correct solution:\n{solution}", request]
    content = protocol.SEPARATOR.join(part.strip("\n") for part in parts)
    return ({"role": "user", "content": content},)


def asked_again(messages: tuple[Message, ...], comment: str, why: str) -> tuple[Message, ...]:
    """Return the request that follows a comment which will not do."""
    return (
        *messages,
        {"role": "assistant", "content": comment},
        {"role": "user", "content": why},
    )


def times_asked_again(messages: tuple[Message, ...]) -> int:
    """How often a request has been made anew already."""
    return len(messages) // 2


def read_comment(text: str, asked: int, settings: FeedbackSettings, known: Known) -> Comment:
    """Read the feedback model's text, after it was `asked` anew so many times."""
    comment = text.strip()
    if settings.kind == "binary":
        judged = binary(comment)
        again = _WITH_VERDICT if judged is None and asked < _MOST_UNREADABLE else None
        return Comment(judged, again=again)
    leaks = find_leaks(comment, known)
    return Comment(
        comment, leaks, _WITHOUT_ANSWER if leaks and asked < settings.ask_again else None
    )


def binary(comment: str) -> str | None:
    """Reduce a comment to ``This is GOOD.`` or ``This is BAD.`` by its first sentence.

    None where that sentence says neither, or both.
    """
    sentence = _FIRST_SENTENCE.match(comment.lstrip()[:_LONGEST_SENTENCE])
    words = _WORD.findall(sentence[0].lower()) if sentence else []
    said = set()
    for place, word in enumerate(words):
        if word in _GOOD or word in _BAD:
            before = words[max(0, place - _REACH) : place]
            denied = any(one in _NEGATIONS or one.endswith(("'t", "’t")) for one in before)
            said.add((word in _GOOD) is not denied)
    if len(said) != 1:
        return None
    return protocol.GOOD if said.pop() else protocol.BAD


def words_digest(settings: FeedbackSettings) -> str:
    """Return 16 hex digits over all words of a kind's requests, for a run's identity."""
    task = Task(name="", id="", prompt="", reference="")
    words = (feedback_messages(task, "", settings, ()), _WITHOUT_ANSWER, _WITH_VERDICT)
    return hashlib.sha256(msgspec.json.encode(words)).hexdigest()[:16]
