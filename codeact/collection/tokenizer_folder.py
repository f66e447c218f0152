"""What a tokenizer folder says of conversations: its chat template and its special tokens.

The folder is one that transformers saves: ``tokenizer_config.json``, ``chat_template.jinja`` where
the template is a file of its own, and ``tokenizer.json``.
"""

from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from codeact.exceptions import ConfigError

CONFIG, TEMPLATE, TOKENIZER = "tokenizer_config.json", "chat_template.jinja", "tokenizer.json"
_MAP = "special_tokens_map.json"
_LARGEST = 1 << 28
"""Bytes of a file of the folder."""


class TokenizerFolder(NamedTuple):
    """`tokens` are those that a template may name; `special` are all that a text may not hold."""

    name: str
    template: str
    tokens: dict[str, Any]
    special: frozenset[str]

    @property
    def stop(self) -> str:
        """The token that ends a text of the model; empty where the folder names none."""
        return str(self.tokens.get("eos_token") or "")


def read_folder(folder: Path) -> TokenizerFolder:
    """Read a folder; raises `ConfigError` where it has no template, or cannot be read."""
    if not folder.is_dir():
        raise ConfigError(f"template={folder}: is no folder; give one with {CONFIG}")
    config = _object(folder / CONFIG)
    tokens = {
        key: _text(value)
        for key, value in (_object(folder / _MAP) | config).items()
        if key.endswith("_token") and _text(value)
    }
    listed = config.get("added_tokens_decoder")
    added = [
        *(listed.values() if isinstance(listed, dict) else ()),
        *_list(_object(folder / TOKENIZER).get("added_tokens")),
    ]
    special = {
        str(one["content"])
        for one in added
        if isinstance(one, dict) and one.get("special") and one.get("content")
    }
    return TokenizerFolder(
        str(folder), _template(folder, config), tokens, frozenset(special | set(tokens.values()))
    )


def _template(folder: Path, config: dict[str, Any]) -> str:
    file = folder / TEMPLATE
    if file.is_file():
        return _read(file).decode(errors="replace")
    found = config.get("chat_template")
    if isinstance(found, list):
        named = {one.get("name"): one.get("template") for one in found if isinstance(one, dict)}
        found = named.get("default")
        if not isinstance(found, str):
            names = ", ".join(sorted(map(str, named)))
            raise ConfigError(
                f"{folder / CONFIG}: has no template 'default', but {names or 'none'}"
            )
    if not isinstance(found, str) or not found:
        raise ConfigError(
            f"template={folder}: has no chat template: neither {TEMPLATE} nor chat_template in "
            f"{CONFIG}; a base model has none, so give format=chatml, or the folder of a chat model"
        )
    return found


def _object(file: Path) -> dict[str, Any]:
    """The object in a file; an empty one where there is no such file."""
    if not file.is_file():
        return {}
    try:
        found = msgspec.json.decode(_read(file))
    except msgspec.DecodeError as error:
        raise ConfigError(f"{file}: is no JSON: {error}") from error
    if not isinstance(found, dict):
        raise ConfigError(f"{file}: is no JSON object")
    return found


def _read(file: Path) -> bytes:
    try:
        if file.stat().st_size > _LARGEST:
            raise ConfigError(f"{file}: is larger than {_LARGEST >> 20} MiB")
        return file.read_bytes()
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read ({error.strerror})") from error


def _text(token: Any) -> str:
    """A special token's text: newer folders have an object in its place."""
    found = token.get("content") if isinstance(token, dict) else token
    return found if isinstance(found, str) else ""


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
