"""``--help``, ``--cfg`` and ``--info`` of every command: what can be set, and what is set.

``--help`` reads groups out of the folders of options, and keys out of the schema. ``--cfg`` and
``--info`` are Hydra's own.
"""

import shutil
import sys
import textwrap
from collections.abc import Iterable
from pathlib import Path

from pydantic import BaseModel

from codeact.commands.arguments import Arguments
from codeact.exceptions import ConfigError
from codeact.experiment.config.compose import (
    Composed,
    Invocation,
    compose_config,
    options_in,
    within_hydra,
)
from codeact.experiment.config.keys import Key, keys_of, option_meaning
from codeact.wording import nearest


def tell_if_asked(
    command: str, about: str, arguments: Arguments, schema: type[BaseModel], config: str = ""
) -> bool:
    """Print what the command line asks to be told, and return whether it asked for anything."""
    config = config or command
    if arguments.help:
        _help(command, about, arguments, schema, config)
    elif arguments.cfg or arguments.info:
        _tell(arguments, config)
    return bool(arguments.help or arguments.cfg or arguments.info)


def _tell(arguments: Arguments, config: str) -> None:
    """Print the composed configuration, or how it came to be, as Hydra's own programs do."""
    given = tuple(arguments.overrides)
    invocation = Invocation(config, given, arguments.config_dir, arguments.config_name)
    compose_config(invocation, resolve=False)  # what cannot be composed is refused in our words
    name, overrides = invocation.name, invocation.all_overrides
    with within_hydra(invocation) as hydra:
        if arguments.info:
            hydra.show_info(arguments.info, name, overrides)
        else:
            hydra.show_cfg(
                name, overrides, arguments.cfg or "job", arguments.package, arguments.resolve
            )


def _help(
    command: str, about: str, arguments: Arguments, schema: type[BaseModel], config: str
) -> None:
    given = tuple(word for word in arguments.overrides if "=" in word or word.startswith("~"))
    branches = [word for word in arguments.overrides if word not in given]
    invocation = Invocation(config, given, arguments.config_dir, arguments.config_name)
    composed = compose_config(invocation, resolve=False)
    if branches:
        lines = [line for one in branches for line in _branch(one, invocation, composed, schema)]
    else:
        lines = _whole(command, about, arguments, list(keys_of(schema, composed.config)), composed)
    sys.stdout.write("\n".join(lines) + "\n")


def _branch(
    branch: str, invocation: Invocation, composed: Composed, schema: type[BaseModel]
) -> list[str]:
    """Return a group's options, if it is one, and the keys below a dotted name.

    What the chosen option of a group has not may be in another one, which is then named.
    """
    keys = list(keys_of(schema, composed.config))
    options = composed.options.get(branch, [])
    lines = [f"{branch}:", *_options(options, composed.groups.get(branch))] if options else []
    found = _beneath(branch, keys)
    if found or options:
        return [*lines, *_keys(found)]
    group = branch.partition(".")[0]
    for option in composed.options.get(group, []):
        word = f"{group}={option.stem}"
        other = invocation._replace(overrides=(*invocation.overrides, word))
        if found := _beneath(branch, keys_of(schema, compose_config(other, resolve=False).config)):
            return [f"with {word}:", *_keys(found)]
    known = {key.path for key in keys} | {key.path.rpartition(".")[0] for key in keys}
    hint = nearest(branch, known | set(composed.options) - {""}, composed.options)
    raise ConfigError(f"there is no group and no key {branch!r} ({hint})")


def _beneath(branch: str, keys: Iterable[Key]) -> list[Key]:
    return [key for key in keys if key.path == branch or key.path.startswith(f"{branch}.")]


def _whole(
    command: str, about: str, arguments: Arguments, keys: list[Key], composed: Composed
) -> list[str]:
    group = " [GROUP=OPTION]" if composed.groups else ""
    lines = [about.strip().replace("``", ""), ""]
    lines += [f"usage: codeact {command}{group} [KEY=VALUE] ..."]
    if composed.groups:
        used = {key.partition("@")[0] for key in composed.groups}
        lines += ["", "Config groups and their options (* is chosen):"]
        for name, options in composed.options.items():
            if name in used:
                lines += [f"  {name}", *_options(options, composed.groups.get(name))]
    lines += ["", "Keys:", *_keys(keys), ""]
    lines += [f"codeact {command} --help BRANCH shows one branch, such as {_example(keys)}."]
    lines += ["--config-dir DIR adds your own options."]
    lines += ["--cfg job|hydra|all prints the configuration, --info how it is composed."]
    if arguments.sweeps:
        lines += ["-m plays every combination of a=1,2 b=3,4."]
    return lines


def _options(options: Iterable[Path], chosen: str | None) -> list[str]:
    files = sorted(options, key=lambda file: file.stem)
    marked = options_in(chosen) if chosen else []
    width = max((len(file.stem) for file in files), default=0)
    return [
        _wrapped(
            f"  {'*' if file.stem in marked else ' '} {file.stem:<{width}}", option_meaning(file)
        )
        for file in files
    ]


def _keys(keys: list[Key]) -> list[str]:
    lines = []
    for key in keys:
        lines.append(f"  {key.path}={key.value}  ({key.type})")
        if key.meaning:
            lines.append(_wrapped("     ", key.meaning))
    return lines


def _wrapped(head: str, text: str) -> str:
    width = max(60, min(shutil.get_terminal_size((100, 24)).columns, 120))
    indent = " " * (len(head) + 2)
    return textwrap.fill(text, width, initial_indent=f"{head}  ", subsequent_indent=indent) or head


def _example(keys: list[Key]) -> str:
    return next((key.path.rpartition(".")[0] for key in keys if "." in key.path), keys[0].path)
