"""Composes YAML to a plain dict with Hydra's compose API, with error messages of our own.

Commands call Hydra's API rather than its decorator: a sweep is then one process over one queue of
episodes, and every refusal names the key, the file and the nearest valid name.
"""

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from hydra import compose, initialize_config_dir
from hydra._internal.hydra import Hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigKeyError, MissingMandatoryValue, OmegaConfBaseException

from codeact.exceptions import ConfigError
from codeact.experiment.config.instead import as_keys, flat_keys, instead_of
from codeact.experiment.overrides import literal, parsed
from codeact.resources import data_folder
from codeact.wording import nearest, without_secrets

_SWEPT = {"run", "fork"}
"""Commands that take ``-m``."""
_WITHIN = re.compile(r"((?:[a-z_]+\.)*([a-z_]+))\.([a-z_]+)=")
_NOT_NEEDED = tuple(
    f"~hydra/{group}"
    for group in ("launcher", "sweeper", "help", "hydra_help", "hydra_logging", "job_logging")
)
"""What only an application of Hydra's needs; without it, composing takes a sixth less."""
_BY_NAME = {"tracker"}
_TAKES_SEVERAL = {"task", *_BY_NAME}
"""Groups that take a list of options: composed into one, or each with its keys under its name."""


class Invocation(NamedTuple):
    """Which configuration is composed: a command's, extended by the user's own folder."""

    command: str
    overrides: tuple[str, ...] = ()
    config_dir: str | None = None
    config_name: str | None = None
    base: Path | None = None
    """A folder whose file of this name is composed instead of ours."""

    @property
    def name(self) -> str:
        return self.config_name or self.command

    @property
    def folders(self) -> list[Path]:
        """Where configuration is looked for: first the folder that holds the command's own file."""
        ours = data_folder("conf")
        if self.base is not None:
            return [self.base, *self._replace(base=None).folders]
        if self.config_dir is None:
            return [ours]
        users = Path(self.config_dir).resolve()
        if not users.is_dir():
            raise ConfigError(f"--config-dir {self.config_dir}: there is no such folder")
        first = (users / f"{self.name}.yaml").is_file()
        return [users, ours] if first else [ours, users]

    @property
    def all_overrides(self) -> list[str]:
        """Overrides with the other folder put on Hydra's search path."""
        others = ",".join(literal(f"file://{folder}") for folder in self.folders[1:])
        words = map(as_group, self.overrides)
        return [*([f"hydra.searchpath=[{others}]"] if others else []), *words]


def as_group(word: str) -> str:
    """Write ``model.dialect=NAME`` as Hydra has it: an option of a group within a group."""
    found = _WITHIN.match(word)
    if found is None:
        return word
    package, group, inner = found.groups()
    is_group = (data_folder("conf") / group / inner).is_dir()
    return f"{group}/{inner}@{package}={word[found.end() :]}" if is_group else word


def is_within(group: str) -> bool:
    """Whether a group is within another: its option changes keys of what that one has filled."""
    return "/" in group.partition("@")[0]


class Composed(NamedTuple):
    """A composed configuration, and where its parts came from.

    `files` maps a dotted package (``model``, ``feedback.model``) to the YAML file that fills it;
    the empty package is the command's own file. `groups` holds the option chosen of each group
    (``[a,b]`` where it is several), and `options` the files of all that each group offers.
    """

    config: dict[str, Any]
    files: dict[str, str]
    overrides: tuple[str, ...]
    groups: dict[str, str]
    options: dict[str, list[Path]]

    def origin(self, key: str) -> str:
        """Where a dotted key was set, for a message."""
        given = {override.lstrip("+").partition("=")[0]: override for override in self.overrides}
        named = [n for n in given if n not in self.groups and _within(key, n)]
        if named:
            return f"command line, {without_secrets(given[max(named, key=len)])!r}"
        packages = [package for package in self.files if package and _within(key, package)]
        return self.files[max(packages, key=len, default="")]


def _within(key: str, parent: str) -> bool:
    return key == parent or key.startswith(parent + ".")


def compose_config(invocation: Invocation, *, resolve: bool = True) -> Composed:
    """Compose one configuration; raises `ConfigError` with the nearest valid name.

    Without `resolve`, interpolations and values still to be given stay as they are written.
    """
    overrides = invocation.all_overrides
    words = _without_sweeps(invocation.command, overrides)
    with initialize_config_dir(config_dir=str(invocation.folders[0]), version_base="1.3"):
        lists = _lists_of_options(invocation.name, words)
        overrides = _by_name(overrides, lists)
        try:
            config = _composed(invocation.name, overrides)
        except (HydraException, OmegaConfBaseException) as error:
            raise _explain(invocation.name, overrides, error) from error
        choices = {**config.hydra.runtime.choices, **lists}
        files = _files(invocation.name, config, choices)
        try:
            plain = _plain(config, resolve)
        except MissingMandatoryValue as error:
            key = error.full_key or "?"
            origin = Composed({}, files, (), {}, {}).origin(key)
            raise ConfigError(f"{key} is not set ({origin}); give {key}=VALUE") from error
        except OmegaConfBaseException as error:
            raise ConfigError(f"the configuration cannot be resolved: {error}") from error
        chosen = {
            str(group): str(option)
            for group, option in choices.items()
            if not str(group).startswith("hydra/")
        }
        options = option_files(config)
    return Composed(plain, files, invocation.overrides, chosen, options)


def expand_sweep(overrides: Iterable[str]) -> list[tuple[str, ...]]:
    """The override lists of a ``--multirun``, in Hydra's order: ``a=1,2 b=3,4`` gives four."""
    values: dict[str, list[str]] = {}
    for override in map(parsed, overrides):
        key = override.get_key_element()
        if not override.is_sweep_override():
            values[key] = [f"{key}={override.get_value_element_as_str()}"]
        elif override.is_discrete_sweep():
            values[key] = [f"{key}={value}" for value in override.sweep_string_iterator()]
        else:
            raise ConfigError(
                f"this sweep cannot be expanded: {without_secrets(override.input_line or key)} "
                f"has no end of values; list them: {key}=VALUE,VALUE"
            )
    return list(itertools.product(*values.values()))


@contextmanager
def within_hydra(invocation: Invocation) -> Iterator[Hydra]:
    """Have Hydra look where the invocation says; yields it, for what only it can tell."""
    with initialize_config_dir(config_dir=str(invocation.folders[0]), version_base="1.3"):
        hydra = GlobalHydra.instance().hydra
        assert hydra is not None
        yield hydra


def _without_sweeps(command: str, overrides: list[str]) -> list[Override]:
    """Parse the words; raises `ConfigError` for one that gives a key several values."""
    words = []
    for word in overrides:
        words.append(parsed(word))
        if words[-1].is_sweep_override():
            key, _, value = word.partition("=")
            remedy = f'as one text it is {key}="{literal(value)}"'
            if command in _SWEPT:
                remedy = f"codeact {command} -m {word} plays a run for each; {remedy}"
            raise ConfigError(f"{without_secrets(word)!r} gives {key} several values: {remedy}")
    return words


def _lists_of_options(name: str, words: list[Override]) -> dict[str, str]:
    """Return the lists of options that groups are given, as in ``task=[a,b]``, by the group.

    Raises `ConfigError` for a list that cannot be one.
    """
    given = {
        word.get_key_element(): word._value
        for word in words
        if isinstance(word._value, list) and "." not in word.key_or_group
    }
    if not given:
        return {}
    roots = tuple(f"{group}." for group in _BY_NAME)  # their places are not open yet
    unset = {*given, *(w.get_key_element() for w in words if w.key_or_group.startswith(roots))}
    others = [word.input_line or "" for word in words if word.get_key_element() not in unset]
    try:
        files = option_files(_composed(name, others))
    except (HydraException, OmegaConfBaseException):
        return {}  # it is the rest that is wrong, and will be refused
    found = {}
    for key, value in given.items():
        if (options := files.get(key.lstrip("+").partition("@")[0])) is not None:
            names = [str(one) for one in value]
            _refuse_list(key, names, options)
            found[key] = f"[{','.join(names)}]"
    return found


def _by_name(overrides: list[str], lists: Mapping[str, str]) -> list[str]:
    """Write ``tracker=[a,b]`` as Hydra has it, in front: none of the group, each in its place."""
    given = set(lists) & _BY_NAME
    found = [word for word in overrides if word.partition("=")[0] not in given]
    first = sum(word.startswith("hydra.searchpath=") for word in found[:1])
    for group in given:
        places = [f"+{group}@{group}.{name}={name}" for name in options_in(lists[group])]
        found[first:first] = [f"~{group}", *places]
    return found


def _refuse_list(group: str, names: list[str], files: list[Path]) -> None:
    word = f"{group}=[{','.join(names)}]"
    if group not in _TAKES_SEVERAL:
        raise ConfigError(f"{word}: {group} takes one option; -m {group}=A,B plays a run for each")
    if not names:
        raise ConfigError(f"{word} names no option; give {group}=[A,B]")
    options = {file.stem: file for file in files}
    for one in names:
        if one not in options:
            raise ConfigError(f"{word}: {group} has no option {one!r} ({nearest(one, options)})")
    owners: dict[str, str] = {}
    for one in names:
        tree = OmegaConf.to_container(OmegaConf.load(options[one]))
        for data_set in (tree.get("sets") if isinstance(tree, dict) else None) or ():
            if (other := owners.setdefault(str(data_set), one)) != one:
                raise ConfigError(
                    f"{word}: the data set {data_set!r} is in both {other} and {one}; name it once"
                )
    if twice := [one for one in names if names.count(one) > 1]:
        raise ConfigError(f"{word} names {twice[0]!r} twice; name it once")


def _plain(config: DictConfig, resolve: bool) -> dict[str, Any]:
    own = config.copy()
    OmegaConf.set_struct(own, False)
    del own["hydra"]
    plain = OmegaConf.to_container(own, resolve=resolve, throw_on_missing=resolve)
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}


def _files(name: str, config: DictConfig, choices: Mapping[Any, Any]) -> dict[str, str]:
    """Which YAML file fills which package."""
    folders = _folders(config)
    found = {"": _locate(name, folders)}
    for group, choice in sorted(choices.items(), key=lambda one: is_within(str(one[0]))):
        path, _, package = str(group).partition("@")
        if path.startswith("hydra/") or choice is None:
            continue
        places = [_locate(f"{path}/{option}", folders) for option in options_in(str(choice))]
        filled = package or path.replace("/", ".")
        if is_within(str(group)):
            # Where no other option has filled those keys, the command's own file has.
            places = [found.get(filled, found[""]), *(places if choice != "none" else [])]
        found[filled] = ", ".join(places)
    return found


def options_in(choice: str) -> list[str]:
    """Return the options that a group's choice names: one, or those of a list ``[a,b]``."""
    return choice[1:-1].split(",") if choice.startswith("[") else [choice]


def _folders(config: DictConfig) -> list[Path]:
    """The folders of Hydra's search path, ours and the user's."""
    sources = config.hydra.runtime.config_sources
    return [Path(source.path) for source in sources if source.schema == "file" and source.path]


def option_files(config: DictConfig) -> dict[str, list[Path]]:
    """Return the files of every group's options, by the group; the first folder's file counts."""
    found: dict[str, dict[str, Path]] = {}
    for folder in _folders(config):
        for option in folder.glob("*/**/*.yaml"):
            group = str(option.parent.relative_to(folder))
            found.setdefault(group, {}).setdefault(option.stem, option)
    return {group: list(options.values()) for group, options in sorted(found.items())}


def _locate(config_path: str, folders: list[Path]) -> str:
    """The file that a config is read from."""
    for folder in folders:
        if (file := folder / f"{config_path}.yaml").is_file():
            return str(file)
    return f"{config_path}.yaml"


def _explain(name: str, overrides: list[str], error: Exception) -> ConfigError:
    """Find the override that Hydra refuses, and say what would have been valid."""
    # Where the options are is no choice of the user's.
    first = sum(override.startswith("hydra.searchpath=") for override in overrides[:1])
    before = None
    for end in range(first, len(overrides) + 1):
        try:
            before = _composed(name, overrides[:end])
        except (HydraException, OmegaConfBaseException) as cause:
            if before is None:
                return ConfigError(f"{name}.yaml: {_first_line(cause)}")
            return ConfigError(_refusal(before, overrides[end - 1], cause))
    return ConfigError(str(error))


def _composed(name: str, overrides: list[str]) -> DictConfig:
    """Compose with Hydra, whose own node says where everything comes from."""
    dropped = () if any("hydra/" in word for word in overrides) else _NOT_NEEDED
    return compose(name, overrides=[*overrides, *dropped], return_hydra_config=True)


def _refusal(before: DictConfig, override: str, cause: Exception) -> str:
    """Say what is wrong with an override, given what was composed without it."""
    key, _, value = override.lstrip("+~").partition("=")
    group = key.partition("@")[0]
    files = option_files(before)
    options = {group: [file.stem for file in found] for group, found in files.items()}
    if group in options:
        if value not in options[group]:
            hint = nearest(value, options[group]) + as_keys(group, value)
            return f"{override!r}: {group} has no option {value!r} ({hint})"
        return f"{override!r}: {_first_line(cause)}"
    keys = set(flat_keys(_plain(before, resolve=False)))
    missing = key if key not in keys else _missing_beneath(key, cause)
    if missing not in keys:
        return f"{override!r}: unknown key {missing!r} ({instead_of(missing, keys, options)})"
    why = f": {_first_line(cause.__cause__)}" if isinstance(cause.__cause__, Exception) else ""
    return f"{override!r}: {_first_line(cause)}{why}"


def _missing_beneath(key: str, cause: Exception) -> str:
    """The key in a mapping given for `key` that is not there to be set, or `key` itself."""
    reason = cause.__cause__
    found = getattr(reason, "full_key", None) if isinstance(reason, ConfigKeyError) else None
    return str(found) if found and _within(str(found), key) else key


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


def to_yaml(config: Mapping[str, Any]) -> str:
    """The resolved configuration as YAML, in the schema's order."""
    return OmegaConf.to_yaml(OmegaConf.create(msgspec.to_builtins(dict(config))))
