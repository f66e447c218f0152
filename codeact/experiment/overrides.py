"""Quotes words of a command line for Hydra's grammar, so that users need not quote paths.

One word of the shell may hold commas, parentheses, spaces and equals signs, which Hydra reads as a
sweep, a function call or an error.
"""

import re
from functools import cache

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, QuotedString
from hydra.errors import HydraException

from codeact.exceptions import ConfigError
from codeact.wording import without_secrets

_PATHS = {"run_dir", "data", "out", "source", "path", "raw", "cache", "cells", "python"}
_PATHS |= {"model.model", "filter", "tokenizer", "url"}
"""Keys, or last parts of keys, whose value is always one path or pattern."""
_WHOLE = {"run_dir"}
"""Keys whose value is one path even in a sweep."""


@cache
def _parser() -> OverridesParser:
    return OverridesParser.create()


def parsed(word: str) -> Override:
    """Parse an override; raises `ConfigError` with the word that cannot be read."""
    try:
        found: Override = _parser().parse_override(word)
    except HydraException as error:
        reason = str(error).strip().splitlines()[0]
        raise ConfigError(
            f"{without_secrets(word)!r} cannot be read ({reason}); quote its value: KEY=\"'VALUE'\""
        ) from error
    return found


def literal(text: str) -> str:
    """Quote a text so that Hydra takes it literally."""
    # A backslash is literal unless it comes before a quote.
    return "'" + re.sub(r"(\\*)('|$)", lambda m: m[1] * 2 + ("\\'" if m[2] else ""), text) + "'"


def quoted(word: str, *, sweep: bool = False) -> str:
    """Quote the value of an override if that is the only way to read it, or if it is a path.

    In a `sweep`, commas separate values.
    """
    key, equals, value = word.partition("=")
    if not equals or not value or value[0] in "'\"":
        return word
    is_path = _is_path(key)
    found = _found(word)
    if found is None:
        if value[0] in "[{" and not is_path:
            return word
        values = value.split(",") if sweep and key not in _WHOLE else [value]
        better = f"{key}={','.join(literal(one) for one in values)}"
        return word if _found(better) is None else better
    if not is_path or _means_itself(found, value) or _is_structure(found):
        return word
    if found.is_sweep_override() and sweep and key not in _WHOLE:
        return word
    return f"{key}={literal(value)}"


def _is_path(key: str) -> bool:
    key = key.lstrip("+")
    return key in _PATHS or key.rpartition(".")[2] in _PATHS


def _found(word: str) -> Override | None:
    try:
        found: Override = _parser().parse_override(word)
    except HydraException:
        return None
    return found


def _means_itself(found: Override, value: str) -> bool:
    return not found.is_sweep_override() and found.value() == value


def _is_structure(found: Override) -> bool:
    """Whether the value is a list, a mapping, null or was quoted already."""
    if found.is_sweep_override():
        return False
    value = found._value
    return value is None or isinstance(value, list | dict | QuotedString)
