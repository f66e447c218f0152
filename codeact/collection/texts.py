"""Conversations as one text each, by a chat format, with the characters that are trained.

What is trained of a turn is what the model generates there: its words and the token that ends the
turn, never the header. Messages are cut after their action, as in the form ``openai``, so that the
end follows the action. Templates get reasoning and calls as transformers gives them; one that shows
nothing of them is found out, and such conversations are refused.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from codeact.collection.calls import of_template
from codeact.collection.conversion import Conversation
from codeact.collection.convert_settings import ConvertConfig, TextFormat
from codeact.collection.examples import Form, messages_of
from codeact.collection.masks import Masked
from codeact.collection.tokenizer_folder import read_folder
from codeact.episode.messages import JSON, ToolCall
from codeact.exceptions import ConfigError
from codeact.resources import resolve_path

if TYPE_CHECKING:
    from codeact.collection.templates import Rendered

STOPS: Mapping[TextFormat, str] = {
    "chatml": "<|im_end|>",
    "llama3": "<|eot_id|>",
    "qwen3": "<|im_end|>",
}
"""The token that ends a turn."""
_SPECIAL: Mapping[TextFormat, str] = {
    "chatml": r"<\|im_(?:start|end)\|>",
    "llama3": r"<\|(?:begin_of_text|end_of_text|start_header_id|end_header_id|eot_id|eom_id"
    r"|python_tag|finetune_right_pad_id|reserved_special_token_\d+)\|>",
    "qwen3": r"<\|(?:im_start|im_end|endoftext|(?:object_ref|box|quad|vision)_(?:start|end)"
    r"|(?:vision|image|video|fim)_pad|fim_(?:prefix|middle|suffix)|repo_name|file_sep)\|>",
}
_TAIL = 20


class _Render(Protocol):
    def __call__(self, messages: Sequence[Mapping[str, Any]]) -> "Rendered": ...


class TextForm(NamedTuple):
    """How conversations become text; `stop` ends a turn, empty where a folder names no token."""

    form: Form
    stop: str


@contextmanager
def text_form(config: ConvertConfig) -> Iterator[TextForm]:
    """Yield the form of a text format; raises `ConfigError` for a template that cannot be had."""
    # Jinja is slow to import, and only text needs it.
    from codeact.collection.rendering import TemplateProcess
    from codeact.collection.templates import CompiledTemplate

    if config.template is None:
        name: TextFormat = config.format  # type: ignore[assignment]
        source = resolve_path(f"pkg://codeact.collection/chat_templates/{name}.jinja")
        template = CompiledTemplate(source.read_text(encoding="utf-8"), {})
        special = re.compile(_SPECIAL[name])
        form = _form(config, lambda messages: template.render(messages, {}), special)
        yield TextForm(form, STOPS[name])
        return
    folder = read_folder(Path(config.template).expanduser())
    with TemplateProcess(
        f"template={folder.name}", folder.template, folder.tokens, config.variables or {}
    ) as process:
        if config.loss is not None and not process.marks_generation:
            raise ConfigError(
                f"template={folder.name}: marks nothing as generated (it has no "
                "{% generation %} block), so nobody can tell what would be trained; give "
                "loss=null for text without a mask, or put the text of an assistant, with the "
                "token that ends it, between {% generation %} and {% endgeneration %}"
            )
        words = sorted(folder.special, key=len, reverse=True)
        special = re.compile("|".join(map(re.escape, words)) or r"(?!)")
        yield TextForm(_form(config, process.render, special), folder.stop)


def _form(config: ConvertConfig, render: _Render, special: "re.Pattern[str]") -> Form:
    shows = _Shows(render)

    def form(conversation: Conversation) -> JSON:
        messages = messages_of(conversation, config, cut=True)
        if config.system == "merge":
            messages = _merged(messages)
        for number, one in enumerate(messages, 1):
            if found := _said(one, special):
                raise ValueError(
                    f"its message {number} says {found}, which is a token of the format's own"
                )
        shows.refuse_unshown(messages)
        rendered = render(_given(messages))
        example: JSON = {"id": conversation.id, "text": rendered.text}
        if config.loss is not None:
            example["spans"] = _trained(rendered, messages)
            _refuse_endless(rendered, special)
        return example

    return form


def _said(message: Masked, special: "re.Pattern[str]") -> str:
    """A token of the format's own that anything of a message says; empty for none."""
    calls = [text for call in message.more.get("tool_calls", ()) for text in call.values()]
    for text in (message.content, message.more.get("reasoning", ""), *calls):
        if found := special.search(text):
            return found[0]
    return ""


def _given(messages: Sequence[Masked]) -> list[JSON]:
    """Messages as transformers gives them to a template."""
    given: list[JSON] = []
    names: dict[str, str] = {}
    for one in messages:
        message: JSON = {"role": one.role, "content": one.content}
        if "reasoning" in one.more:
            message["reasoning_content"] = one.more["reasoning"]
        if "tool_calls" in one.more:
            message["tool_calls"] = of_template(one.more["tool_calls"])
            names |= {call["id"]: call["name"] for call in one.more["tool_calls"]}
        if "tool_call_id" in one.more:
            called = one.more["tool_call_id"]
            message |= {"tool_call_id": called, "name": names.get(called, "")}
        given.append(message)
    return given


class _Shows:
    """Whether a template shows reasoning and calls at all, which is asked of it once each."""

    _WORD = "codeactprobe"

    def __init__(self, render: _Render) -> None:
        self._render = render

    def refuse_unshown(self, messages: Sequence[Masked]) -> None:
        """Raise `ValueError` for what the template would leave out of every conversation."""
        if any("reasoning" in one.more for one in messages) and not self._reasoning:
            raise ValueError(
                "it has reasoning, of which this format shows nothing; give reasoning=drop, or the "
                "template of a model that reasons"
            )
        calls = any("tool_calls" in one.more or one.role == "tool" for one in messages)
        if calls and not self._calls:
            raise ValueError(
                "it has tool calls, of which this format shows nothing; give the template of a "
                "model that calls tools"
            )

    @cached_property
    def _reasoning(self) -> bool:
        return self._are_shown(
            {"role": "assistant", "content": "b", "reasoning_content": self._WORD}
        )

    @cached_property
    def _calls(self) -> bool:
        # Some templates take ids of nine letters and digits only.
        call = ToolCall(id="callprobe", name=self._WORD, arguments='{"a": 1}')
        return self._are_shown(
            {"role": "assistant", "content": "", "tool_calls": of_template([call])},
            {
                "role": "tool",
                "content": "b",
                "tool_call_id": call["id"],
                "name": call["name"],
            },
        )

    def _are_shown(self, *messages: JSON) -> bool:
        try:
            return self._WORD in self._render([{"role": "user", "content": "a"}, *messages]).text
        except ValueError:
            return False


def _merged(messages: Sequence[Masked]) -> list[Masked]:
    """Put the system message in front of the first user message, for templates without one."""
    if not messages or messages[0].role != "system":
        return list(messages)
    system, *rest = messages
    first = next((n for n, one in enumerate(rest) if one.role == "user"), None)
    if first is None:
        raise ValueError("there is no user message that could take its system message")
    said = f"{system.content}\n\n{rest[first].content}"
    return [*rest[:first], rest[first]._replace(content=said), *rest[first + 1 :]]


def _refuse_endless(found: "Rendered", special: "re.Pattern[str]") -> None:
    """Refuse blocks that leave out the token that ends the turn: a model would not learn to end."""
    for start, end in found.generated:
        after = special.match(found.text, end)
        block = found.text[start:end].rstrip()
        if after and not any(one.end() == len(block) for one in special.finditer(block)):
            raise ValueError(
                f"its template ends what is generated before {after[0]}, so a model would not "
                "learn to end its turn; put that token into the generation block"
            )


def _trained(found: "Rendered", messages: Sequence[Masked]) -> list[tuple[int, int]]:
    """Where the trained turns are, of the texts that the template says are generated."""
    turns = [one for one in messages if one.role == "assistant"]
    if len(turns) != len(found.generated):
        raise ValueError(
            f"its template marks {len(found.generated)} texts as generated, where it has "
            f"{len(turns)} turns, so which turn is trained cannot be told"
        )
    spans = []
    for turn, (start, end) in zip(turns, found.generated, strict=True):
        block = found.text[start:end]
        names = [call["name"] for call in turn.more.get("tool_calls", ())]
        if any(one not in block for one in (turn.content.strip()[-_TAIL:], *names)):
            raise ValueError("its template marks something else than a turn's words as generated")
        if turn.whole and start < end:
            spans.append((start, end))
    return spans
