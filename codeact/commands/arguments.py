"""The command line that all commands share: overrides, ``-m``, a user's config folder, help."""

import re
from argparse import ArgumentParser, Namespace
from contextlib import ExitStack
from pathlib import Path
from typing import IO, TypeVar

from pydantic import BaseModel

from codeact.exceptions import ConfigError
from codeact.experiment.config.compose import (
    Invocation,
    compose_config,
    expand_sweep,
)
from codeact.experiment.config.validation import validated
from codeact.experiment.overrides import literal, quoted

Schema = TypeVar("Schema", bound=BaseModel)

INFO = ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")


class Arguments(Namespace):
    """The words of the command line after the command's name."""

    overrides: list[str]
    multirun: bool
    config_dir: str | None
    config_name: str | None
    help: bool
    cfg: str | None
    info: str | None
    package: str | None
    resolve: bool
    sweeps: bool


def parse(
    command: str,
    words: list[str],
    *,
    positional: str | None = None,
    out_last: bool = False,
    sweeps: bool = False,
) -> Arguments:
    """Split a command line; a bare word sets the key `positional`.

    With `out_last` the last of several sets ``out``, where no word does so by name.
    """
    parser = ArgumentParser(prog=f"codeact {command}", add_help=False)
    parser.add_argument("overrides", nargs="*")
    parser.add_argument("-h", "--help", action="store_true")
    parser.add_argument("-cd", "--config-dir")
    parser.add_argument("-cn", "--config-name")
    parser.add_argument("-m", "--multirun", action="store_true")
    parser.add_argument("-c", "--cfg", choices=["job", "hydra", "all"])
    parser.add_argument("-i", "--info", nargs="?", const="all", choices=INFO)
    parser.add_argument("-p", "--package")
    parser.add_argument("--resolve", action="store_true")
    arguments = parser.parse_intermixed_args(words, namespace=Arguments(sweeps=sweeps))
    if arguments.help:
        return arguments
    if arguments.multirun and not sweeps:
        raise ConfigError(f"codeact {command} does one thing at a time: leave -m out")
    if positional is not None:
        _name_bare_words(arguments, positional, out_last=out_last)
    for word in arguments.overrides:
        if not is_override(word):
            raise ConfigError(f"{word!r} is no override; write KEY=VALUE")
    arguments.overrides = [quoted(word, sweep=arguments.multirun) for word in arguments.overrides]
    return arguments


def is_override(word: str) -> bool:
    """Whether a word sets a key (``KEY=VALUE``, ``+KEY=VALUE``) or deletes one (``~KEY``)."""
    return "=" in word or word.startswith("~")


def _name_bare_words(arguments: Arguments, positional: str, *, out_last: bool) -> None:
    words = arguments.overrides
    bare = [n for n, word in enumerate(words) if _is_bare(word)]
    named = dict.fromkeys(bare, positional)
    if out_last and len(bare) > 1 and not any(word.startswith("out=") for word in words):
        last = Path(words[bare[-1]])
        if last.is_file() or (last.is_dir() and any(last.iterdir())):
            raise ConfigError(f"{last} is there already; if it is what to write, say out={last}")
        named[bare[-1]] = "out"
    for n, key in named.items():
        # A file of this name is meant literally, whatever the name looks like.
        words[n] = f"{key}={literal(words[n]) if _is_there(words[n]) else words[n]}"


def _is_bare(word: str) -> bool:
    """Whether a word is a path rather than an override: what is there, or has no key's name."""
    key, equals, _ = word.partition("=")
    if word.startswith("~") and not equals:
        return "/" in word
    if not equals or not re.fullmatch(r"[+~]{0,2}[A-Za-z_][\w.@/:-]*", key):
        return True
    return _is_there(word) or ("/" in key and Path(key).parent.is_dir())


def _is_there(word: str) -> bool:
    try:
        return Path(word).exists()
    except (OSError, ValueError):  # longer than any name, or with a zero in it
        return False


def sources(arguments: Arguments) -> Arguments:
    """Combine several ``source=`` words (or bare words) into one list."""
    prefix = "source="
    found = [word.removeprefix(prefix) for word in arguments.overrides if word.startswith(prefix)]
    if len(found) > 1:
        others = [word for word in arguments.overrides if not word.startswith(prefix)]
        named = [word if word[:1] in ("'", '"') else literal(word) for word in found]
        arguments.overrides = [*others, f"{prefix}[{','.join(named)}]"]
    return arguments


def configurations(
    command: str, arguments: Arguments, schema: type[Schema], base: Path | None = None
) -> list[tuple[tuple[str, ...], Schema]]:
    """Return the validated configuration of every job, with the overrides that made it.

    `base` is a folder whose ``command``.yaml is composed instead of ours.
    """
    overrides = tuple(arguments.overrides)
    jobs = expand_sweep(overrides) if arguments.multirun else [overrides]
    found = []
    for job in jobs:
        invocation = Invocation(command, job, arguments.config_dir, arguments.config_name, base)
        found.append((job, validated(schema, compose_config(invocation))))
    return found


def configuration(command: str, arguments: Arguments, schema: type[Schema]) -> Schema:
    """Return the validated configuration of a command that takes no sweep."""
    ((_, config),) = configurations(command, arguments, schema)
    return config


def open_lines(path: str | None, stack: ExitStack) -> IO[bytes] | None:
    """Open the file for a command's findings, closed with `stack`; None if there is none.

    Its folder is made where it is missing.
    """
    if path is None:
        return None
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        return stack.enter_context(Path(path).open("wb"))
    except OSError as error:
        raise ConfigError(f"out={path}: cannot be written ({error.strerror})") from error
