"""Conversations as examples of messages, in the forms ``sft``, ``openai`` and of a hub's rows."""

from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from codeact.collection.actions import of_agent
from codeact.collection.conversations import read_conversations
from codeact.collection.conversion import Conversation
from codeact.collection.convert_settings import ConvertConfig
from codeact.collection.masks import Masked, masked
from codeact.collection.tags import TagSettings, contradictions, rewritten, taken_marks
from codeact.episode.messages import JSON, chat_call
from codeact.recordings.trajectory import Problem

Form = Callable[[Conversation], JSON]
"""Returns the example of a conversation; raises `ValueError` where it has none."""


def examples(
    path: Path, form: Form, tags: TagSettings, problems: list[Problem]
) -> Iterator[tuple[Conversation, JSON]]:
    """Yield every conversation with its example; those without one are added to `problems`."""
    for conversation in read_conversations(path, problems):
        reason = taken(conversation, tags)
        example: JSON = {}
        if not reason:
            try:
                example = form(conversation)
            except ValueError as error:
                reason = str(error)
        if reason:
            problems.append(Problem(f"{path}, {conversation.id}", f"is left out: {reason}"))
        else:
            yield conversation, example


def taken(conversation: Conversation, tags: TagSettings) -> str:
    """Say which marks of the form the model wrote around what is no action; empty for none."""
    if not tags.marks or not of_agent(conversation.conversations):
        return ""
    for one in conversation.conversations:
        if one["role"] == "assistant" and (marks := taken_marks(one["content"], tags)):
            return f"the model wrote {marks[0]} where it was no action, and here it is"
    return ""


def reformed(conversation: Conversation, config: ConvertConfig) -> str:
    """Give a conversation its form in place; says why where it cannot have it."""
    tags = config.tags
    if reason := taken(conversation, tags):
        return f"is left out: {reason}"
    for one in conversation.conversations:
        if config.reasoning == "drop":
            one.pop("reasoning", None)
        one["content"] = rewritten(one["content"], tags)
        if reason := _contradiction(one["content"], one["role"], tags):
            return f"is left out: {reason}"
    return ""


def _contradiction(content: str, role: str, tags: TagSettings) -> str:
    """Why a message cannot have this form; empty where it can."""
    if left := contradictions(content, role, tags):
        return (
            f"it would still say {left[0]!r}, which this form does not have; "
            "tags.words can give what to say instead"
        )
    return ""


def messages_of(conversation: Conversation, config: ConvertConfig, *, cut: bool) -> list[Masked]:
    """Return the messages in the form of the tags; raises `ValueError` where one contradicts it."""
    found = masked(
        conversation.conversations,
        config.loss,
        config.tags,
        cut=cut,
        untrained=conversation.untrained,
    )
    if config.tags.marks and of_agent(conversation.conversations):
        for one in found:
            if reason := _contradiction(one.content, one.role, config.tags):
                raise ValueError(reason)
    if config.reasoning == "drop":
        for one in found:
            one.more.pop("reasoning", None)
    return found


def sft(conversation: Conversation, config: ConvertConfig) -> JSON:
    """`loss` is true of messages that are trained as a whole.

    One that is trained in part has `spans`: where each begins and ends, in characters of the
    content. Its reasoning is trained, and its calls, which come after that, are not.
    """
    return _listed(conversation, config, cut=False)


def rows(conversation: Conversation, config: ConvertConfig) -> JSON:
    """As `sft`, for programs that train a message as a whole or not at all: messages are cut."""
    return _listed(conversation, config, cut=True)


def _listed(conversation: Conversation, config: ConvertConfig, *, cut: bool) -> JSON:
    messages: list[JSON] = []
    for one in messages_of(conversation, config, cut=cut):
        message: JSON = {"role": one.role, "content": one.content, **one.more}
        if config.loss is not None:
            message["loss"] = one.whole
        if one.trained and not one.whole and not cut:
            message["spans"] = [[0, one.trained]]
        messages.append(message)
    return {"id": conversation.id, "conversations": messages}


def openai(conversation: Conversation, config: ConvertConfig) -> JSON:
    """The chat format; it calls the mask `weight`, has it for the assistant only, and has no id.

    Calls are in the API's shape. Reasoning is `reasoning_content`, as the servers that give it call
    it.
    """
    messages = rows(conversation, config)["conversations"]
    for message in messages:
        if "reasoning" in message:
            message["reasoning_content"] = message.pop("reasoning")
        if "tool_calls" in message:
            message["tool_calls"] = [chat_call(call) for call in message["tool_calls"]]
            message["content"] = message["content"] or None
        trained = message.pop("loss", None)
        if trained is not None and message["role"] == "assistant":
            message["weight"] = int(trained)
    return {"messages": messages}


def encoded(example: JSON) -> bytes:
    """Return an example as a line."""
    return msgspec.json.encode(example) + b"\n"
