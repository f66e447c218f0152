"""Chat templates: a conversation as one text, and which characters of it the model generates.

Templates are Jinja, rendered as transformers does: the same environment, functions and
``{% generation %}`` blocks. Those of a stranger's folder go through `rendering`, in a process with
bounds.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, NoReturn

import jinja2
import msgspec
from jinja2 import nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

LEAST_ALLOWED, TIMES_ALLOWED = 1 << 20, 16
"""A text may have so many characters, or so many times those of its messages."""


def allowed_characters(messages: Sequence[Mapping[str, Any]]) -> int:
    """Return the most characters that a text of these messages may have."""
    return max(LEAST_ALLOWED, TIMES_ALLOWED * sum(map(_characters, messages)))


def _characters(value: Any) -> int:
    if isinstance(value, Mapping):
        return sum(map(_characters, value.values()))
    if isinstance(value, list):
        return sum(map(_characters, value))
    return len(value) if isinstance(value, str) else 0


class TemplateFailure(ValueError):
    """A template cannot be compiled, or refuses a conversation; the message says why."""


class Rendered(msgspec.Struct, frozen=True):
    """A conversation as text, and where each text that the model generates begins and ends."""

    text: str
    generated: list[tuple[int, int]]


class _Generation(Extension):
    """``{% generation %} … {% endgeneration %}``: what stands between was generated."""

    tags = {"generation"}  # noqa: RUF012 - as its base class declares it

    def __init__(self, environment: jinja2.Environment) -> None:
        super().__init__(environment)
        self.written = 0
        self.found: list[tuple[int, str]] = []

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.CallBlock(self.call_method("note"), [], [], body).set_lineno(line)

    def note(self, caller: Callable[[], str]) -> str:
        text = str(caller())
        self.found.append((self.written, text))
        return text


class CompiledTemplate:
    """A compiled template with the special tokens that it may name (``bos_token``)."""

    def __init__(self, source: str, tokens: Mapping[str, Any]) -> None:
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols]
        )
        environment.filters["tojson"] = _json
        environment.globals["raise_exception"] = _refuse
        environment.globals["strftime_now"] = _now
        self._generation: Any = environment.extensions[_Generation.identifier]
        self._tokens = dict(tokens)
        try:
            tree = environment.parse(source)
            self._template = environment.from_string(tree)
        except jinja2.TemplateSyntaxError as error:
            raise TemplateFailure(f"line {error.lineno}: {error.message}") from error
        except (jinja2.TemplateError, RecursionError, SyntaxError) as error:
            raise TemplateFailure(str(error)) from error
        self.marks_generation = any(
            isinstance(call.node, nodes.ExtensionAttribute) for call in tree.find_all(nodes.Call)
        )
        """Whether it has blocks that say what the model generates."""

    def render(
        self, messages: Sequence[Mapping[str, Any]], variables: Mapping[str, Any]
    ) -> Rendered:
        """Return the text; raises `TemplateFailure` where the template refuses the messages."""
        generation = self._generation
        generation.written, generation.found = 0, []
        allowed = allowed_characters(messages)
        given: dict[str, Any] = {"tools": None, "documents": None, "add_generation_prompt": False}
        pieces = []
        try:
            for piece in self._template.generate(
                **(given | self._tokens | dict(variables)), messages=[dict(one) for one in messages]
            ):
                pieces.append(piece)
                generation.written += len(piece)
                if generation.written > allowed:
                    break
        except Exception as error:  # whatever a template does wrong is the template's error
            reason = str(error) or type(error).__name__
            raise TemplateFailure(f"its template says: {reason}") from error
        if generation.written > allowed:
            raise TemplateFailure(f"its template gives more than {allowed:,} characters")
        text = "".join(pieces)
        if any(not text.startswith(block, start) for start, block in generation.found):
            raise TemplateFailure(
                "a generation block stands in a macro or in another block, so where its text is "
                "cannot be told; write it at the template's outermost level"
            )
        return Rendered(text, [(start, start + len(one)) for start, one in generation.found])


def _refuse(message: str) -> NoReturn:
    raise jinja2.TemplateError(message)


def _now(form: str) -> str:
    return datetime.now().strftime(form)


def _json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | str | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """As transformers writes JSON: Jinja's own filter would escape what HTML needs."""
    return json.dumps(
        value,
        ensure_ascii=ensure_ascii,
        indent=indent,
        separators=separators,
        sort_keys=sort_keys,
    )
