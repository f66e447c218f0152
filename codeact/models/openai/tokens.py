"""Exact tokens over the wire: what a request asks of vLLM, and what its answer has to have.

The fields are vLLM's own, as of 0.32. A request's are `return_token_ids` and `logprobs`. An answer
has `prompt_token_ids` (beside the choices; in plain completions, within each), and for each choice
`token_ids` and `logprobs`: a `content` with one `logprob` a token, or `token_logprobs`.
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from codeact.episode.tokens import CompletionTokens, pack_ids, pack_logprobs
from codeact.exceptions import ConfigError
from codeact.models.openai.settings import TOKENIZER, EndpointSettings
from codeact.models.remote.encoding import (
    InvalidResponse,
    ServerCompletion,
    UnusableAnswer,
    decode,
    encode,
)
from codeact.models.remote.transport import Connections, RequestFailed

if TYPE_CHECKING:
    from tokenizers import Tokenizer

REMEDY = (
    "model.tokens=exact needs vLLM, 0.10.2 or newer, whose answers have token ids and log "
    "probabilities: serve the model with that, or give model.tokens=null, which counts tokens only"
)
_DETOKENIZE_SECONDS = 10.0
_UNFINISHED = "\ufffd"
"""What stands for a character whose bytes are not all there yet."""

_TokenId = Annotated[int, msgspec.Meta(ge=0, lt=1 << 31)]


class InvalidTokens(UnusableAnswer):
    """An answer lacks its exact tokens, or has some that cannot be; says which."""


class _LogprobEntry(msgspec.Struct, gc=False):
    logprob: float


class _Logprobs(msgspec.Struct):
    content: list[_LogprobEntry] | None = None
    token_logprobs: list[float] | None = None


class _Message(msgspec.Struct):
    content: Any = None
    reasoning: Any = None
    reasoning_content: Any = None
    tool_calls: Any = None


class _Choice(msgspec.Struct):
    token_ids: list[_TokenId] | None = None
    prompt_token_ids: list[_TokenId] | None = None
    logprobs: _Logprobs | None = None
    finish_reason: str | None = None
    text: str | None = None
    message: _Message | None = None


class _Tokens(msgspec.Struct):
    choices: list[_Choice]
    prompt_token_ids: list[_TokenId] | None = None


_TOKENS = msgspec.json.Decoder(_Tokens)
_PARTS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_CHOICES = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])
_READ_HERE = ("prompt_token_ids", "token_ids", "logprobs")


class ExactTokens:
    """The exact tokens of an endpoint's answers; `fields` are what its requests ask them by.

    Without ``tokens=exact`` there are no fields, and answers have no tokens.
    """

    def __init__(self, settings: EndpointSettings) -> None:
        """Raise `ConfigError` where the tokenizer cannot be read."""
        self._settings = settings
        self.fields: dict[str, Any] = {}
        self._tokenizer: Tokenizer | None = None
        if settings.tokens is None:
            return
        self.fields = {
            "return_token_ids": True,
            # Of the sampled token alone: how many alternatives is a number in plain completions.
            "logprobs": True if settings.api == "chat" else 0,
        }
        if settings.tokenizer is not None:
            self._tokenizer = _read_tokenizer(Path(settings.tokenizer).expanduser())

    def without_tokens(self, body: bytes) -> bytes:
        """Return a body without what `read` reads: as ordinary JSON that takes long to read."""
        if not self.fields:
            return body
        try:
            parts: dict[str, Any] = _PARTS.decode(body)
            parts["choices"] = _CHOICES.decode(parts["choices"])
        except (ValueError, RecursionError, KeyError):
            return body  # for its reader to say what is wrong
        for part in (parts, *parts["choices"]):
            for name in _READ_HERE:
                part.pop(name, None)
        return msgspec.json.encode(parts)

    def added(self, answer: ServerCompletion, body: bytes, stop: Sequence[str]) -> ServerCompletion:
        """Return an answer with the tokens of its body; raises `InvalidTokens`.

        `stop` are the strings that the server may have cut its text at.
        """
        if not self.fields:
            return answer
        sampling = self._settings.sampling
        temperature = sampling.extra.get("temperature", sampling.temperature)
        return msgspec.structs.replace(answer, tokens=self.read(body, temperature, stop))

    def refused(self, words: str) -> str:
        """Say that a server refuses to be asked for tokens, in its own words."""
        return f"refuses a request for exact tokens: {words}. {REMEDY}"

    def check(self, body: bytes) -> None:
        """Refuse an answer without tokens: `InvalidTokens`."""
        self.read(body)

    def read(
        self, body: bytes, temperature: float | None = None, stop: Sequence[str] = ()
    ) -> CompletionTokens:
        """Return the tokens of a body, sampled so; raises `InvalidTokens`, with what to do.

        `stop` are the strings that the server may have cut its text at.
        """
        try:
            answer = _TOKENS.decode(body)
        except (ValueError, RecursionError) as error:
            raise InvalidTokens(f"its exact tokens cannot be read: {error}") from None
        if not answer.choices:
            raise InvalidTokens("it has no choices")
        choice = answer.choices[0]
        prompt = answer.prompt_token_ids or choice.prompt_token_ids or None
        sampled, logprobs = choice.token_ids, _logprobs_of(choice)
        if prompt is None or sampled is None or logprobs is None:
            parts = {"prompt_token_ids": prompt, "token_ids": sampled, "logprobs": logprobs}
            lacking = " and no ".join(name for name, part in parts.items() if part is None)
            raise InvalidTokens(f"it gives no {lacking}: {REMEDY}")
        if len(sampled) != len(logprobs):
            raise InvalidTokens(
                f"it gives {len(logprobs)} log probabilities for {len(sampled)} tokens"
            )
        if (largest := max(logprobs, default=0.0)) > 0:
            raise InvalidTokens(f"{largest} is no log probability")
        if self._tokenizer is not None:
            self._check_vocabulary(self._tokenizer, max(prompt), max(sampled, default=0))
        return CompletionTokens(
            prompt=pack_ids(prompt),
            sampled=pack_ids(sampled),
            logprobs=pack_logprobs(logprobs),
            finish_reason=choice.finish_reason or "unknown",
            temperature=temperature,
            agrees=self._agrees(sampled, choice, stop),
        )

    async def text_of(self, ids: Sequence[int], connections: Connections) -> str | None:
        """Return the text of ids, special tokens included: by our tokenizer, else by vLLM's.

        None where no server tells.
        """
        if self._tokenizer is not None:
            return str(self._tokenizer.decode(list(ids), skip_special_tokens=False))
        url = self._settings.addresses[0].removesuffix("/v1") + "/detokenize"
        body = encode({"model": self._settings.model_id, "tokens": list(ids)})
        try:
            async with asyncio.timeout(_DETOKENIZE_SECONDS):
                response = await connections.post(url, body)
            text = decode(response.body).get("prompt") if response.status == 200 else None
        except (RequestFailed, TimeoutError, InvalidResponse):
            return None
        return text if isinstance(text, str) else None

    def _check_vocabulary(self, tokenizer: "Tokenizer", *largest: int) -> None:
        size = tokenizer.get_vocab_size()
        if beyond := [one for one in largest if one >= size]:
            raise InvalidTokens(
                f"its token {beyond[0]} is beyond the {size:,} of {self._settings.tokenizer}: give "
                "the folder of the model that the server has as model.tokenizer"
            )

    def _agrees(self, sampled: list[int], choice: _Choice, stop: Sequence[str]) -> bool | None:
        """Whether the ids decode to what was written; None where that cannot be told."""
        message = choice.message
        if self._tokenizer is None or (message is not None and message.tool_calls):
            return None  # a server makes calls out of text of a form of the model's own
        decoded = self._tokenizer.decode(sampled).rstrip(_UNFINISHED)
        if message is None:
            return _is_beginning(choice.text or "", decoded, stop)
        reasoning = message.reasoning or message.reasoning_content
        if not reasoning:
            return _is_beginning(_text(message.content), decoded, stop)
        _, mark, after = decoded.partition(_text(reasoning).strip())
        return bool(mark) and _text(message.content).strip() in after


def _is_beginning(text: str, decoded: str, stop: Sequence[str]) -> bool:
    """Whether a text is what was decoded, or that up to a stop string."""
    text = text.rstrip(_UNFINISHED)
    rest = decoded[len(text) :]
    return decoded.startswith(text) and (not rest or rest.startswith(tuple(stop)))


def _text(part: object) -> str:
    return part if isinstance(part, str) else ""


def _logprobs_of(choice: _Choice) -> list[float] | None:
    found = choice.logprobs
    if found is None:
        return [] if choice.token_ids == [] else None
    if found.content is not None:
        return [entry.logprob for entry in found.content]
    return found.token_logprobs


def _read_tokenizer(folder: Path) -> "Tokenizer":
    from tokenizers import Tokenizer

    file = folder / TOKENIZER
    if not file.is_file():
        raise ConfigError(
            f"model.tokenizer={folder}: has no {TOKENIZER}; give the folder of the model that the "
            "server has, or null, which compares no texts with their tokens"
        )
    try:
        return Tokenizer.from_file(str(file))
    except Exception as error:  # the package raises Exception itself
        raise ConfigError(f"{file}: is no tokenizer: {error}") from error
