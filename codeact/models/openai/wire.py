"""Encodes requests for OpenAI-compatible servers and decodes responses; no I/O here."""

from collections.abc import Sequence
from typing import NamedTuple

from codeact.episode.messages import Message
from codeact.episode.protocol import ASSISTANT_PREFIX
from codeact.models.openai.messages import read_answer
from codeact.models.openai.reasoning import Spelling
from codeact.models.openai.usage import read_usage
from codeact.models.remote.encoding import InvalidResponse, ServerCompletion, decode
from codeact.models.remote.errors import parse_error


def render_plain(messages: Sequence[Message]) -> str:
    """Write a conversation as one text that the model continues as the assistant."""
    parts = []
    for message in messages:
        text = message["content"]
        if message["role"] == "assistant" and not text.lstrip().startswith(ASSISTANT_PREFIX):
            text = f"{ASSISTANT_PREFIX}\n{text}"
        parts.append(text.removesuffix("\n") + "\n\n")
    return "".join(parts) + ASSISTANT_PREFIX


class ReadCompletion(NamedTuple):
    """A completion, and how its server spells reasoning; None where it has none."""

    completion: ServerCompletion
    spelling: Spelling | None


def parse_completion(body: bytes, turn: int = 0, *, tags: str | None = None) -> ReadCompletion:
    """Read a completion of either API; raises `InvalidResponse` for anything else.

    No text (null, or tool calls in its place) is an empty text: the protocol knows what that is.
    """
    payload = decode(body)
    choices = payload.get("choices")
    if choices is None and payload.get("error") is not None:
        raise InvalidResponse(f"an error came as an answer: {parse_error(body).message}")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise InvalidResponse("the answer has no choices")
    choice = choices[0]
    if isinstance(choice.get("message"), dict):
        message = choice["message"]
    elif "text" in choice:
        message = {"content": choice["text"]}
    else:
        raise InvalidResponse("the answer's choice has neither message nor text")
    reason = choice.get("finish_reason")
    read = read_answer(message, turn, tags=tags)
    completion = ServerCompletion(
        text=read.text,
        reasoning=read.reasoning,
        reasoning_details=read.reasoning_details,
        tool_calls=read.tool_calls,
        finish_reason=reason if isinstance(reason, str) else "unknown",
        usage=read_usage(payload.get("usage")),
    )
    return ReadCompletion(completion, read.spelling)
