"""The identity of a run: everything that decides what its episodes are.

It is the configuration without its incidental settings, together with what the configuration points
at: the digest of the image, the content of the search file, how the tools are described. Paths are
not part of it. A run folder keeps its definition in ``identity.json``, with the version of the
rules by which it was made. A folder without that file is older than those rules (version 1), and
its configuration alone defines it.
"""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from codeact.episode.feedback import words_digest
from codeact.episode.prompts.recorded import RecordedStrategy
from codeact.exceptions import ConfigError, RunFolderError
from codeact.experiment.config.schema import RunConfig, digest_of
from codeact.experiment.continuing import content_digest
from codeact.experiment.plan import Plan
from codeact.experiment.recorded_prompts import digests
from codeact.jsonl import blocks
from codeact.recordings.definition import IDENTITY, VERSION, Definition, Values, read_definition
from codeact.recordings.run_folder import CONFIG
from codeact.resources import resolve_path
from codeact.sandboxes.settings import DockerSettings
from codeact.tools.settings import PageSearch, RecordedSearch

_LONGEST_VALUE = 80
_ABSENT = "nothing"
_WORDS = ("tools.", "feedback.prompt", "prompt.recorded.")
"""Keys of what models read. Older folders, and those with other tasks so far, lack some."""


class RequestedRun(msgspec.Struct, frozen=True, kw_only=True):
    """The definition of this command's run, to compare with that of a folder."""

    config: RunConfig
    values: Values

    @property
    def new(self) -> Definition:
        """The definition of a new folder."""
        return Definition(version=VERSION, digest=digest_of(self.values), values=self.values)

    def resumed(self, folder: Path, played: str) -> Definition:
        """Return the definition with which a folder is resumed; raises `RunFolderError`.

        `played` is the settings digest in its records. A setting that is younger than the folder
        counts as its default.
        """
        kept = read_definition(folder)
        if kept is not None and kept.digest != played:
            raise RunFolderError(
                f"{folder}: holds episodes of other settings than its {IDENTITY} says; a run "
                "folder is one experiment: choose another run_dir"
            )
        if kept is None and played == self.new.digest:
            return self.new
        version = 1 if kept is None else kept.version
        there = {**(kept.values if kept else {}), **_configured(folder / CONFIG, version)}
        here = self.values if version == VERSION else settings_values(self.config, version)
        if not there and played != self.config.digest:
            raise RunFolderError(
                f"{folder}: holds episodes of other settings, and no {CONFIG} that says which; "
                "choose another run_dir"
            )
        if there and (differing := _differences(there, here)):
            lines = "".join(f"  {line}\n" for line in differing)
            raise RunFolderError(
                f"{folder}: is another experiment than this one, so it cannot be resumed with it:\n"
                f"{lines}Choose another run_dir, or give what the folder has to resume it."
            )
        return Definition(version=version, digest=played, values={**there, **here})


def requested_run(plan: Plan, facts: Mapping[str, Any]) -> RequestedRun:
    """Return the definition of a plan's run; `facts` are those of its sandbox."""
    config = plan.config
    values = settings_values(config, VERSION)
    if isinstance(config.executor, DockerSettings) and config.executor.image != "host":
        values["executor.image"] = facts.get("image", {}).get("digest")
    if isinstance(config.search, PageSearch | RecordedSearch):
        values["search.content"] = _content_digest(resolve_path(config.search.path))
    if config.feedback.kind != "none":
        values["feedback.prompt"] = words_digest(config.feedback)
    if isinstance(plan.strategy, RecordedStrategy):
        found = digests(plan.strategy).items()
        values |= {f"prompt.recorded.{name}": digest for name, digest in found}
    if config.continue_ is not None:
        values["continue.content"] = content_digest(config.continue_)
    return RequestedRun(config=config, values=values | _tools(plan))


def settings_values(config: RunConfig, version: int) -> Values:
    """Return the part of a definition that the configuration alone decides."""
    values = dict(_flat(config.identity(), ""))
    if version == 1:
        return values
    executor = config.executor
    values.pop("search.path", None)
    values.pop("continue", None)
    values["executor.kind"] = executor.kind
    if isinstance(executor, DockerSettings) and executor.image == "host":
        values["executor.image"] = executor.image
    if config.turns.use_tools:
        # Only cells can notice which modules are imported already, and the memory left.
        values["executor.preload"] = sorted(set(executor.preload))
    return values


def is_configured_like(folder: Path, config: RunConfig) -> bool:
    """Whether a folder's configuration differs only in incidental settings."""
    return _configured(folder / CONFIG, 1) == settings_values(config, 1)


def _configured(file: Path, version: int) -> Values:
    """Read a folder's configuration by today's schema; empty where it does not fit."""
    from omegaconf import OmegaConf

    try:
        plain = OmegaConf.to_container(OmegaConf.load(file), resolve=False)
        return settings_values(RunConfig.model_validate(plain), version)
    except Exception:  # missing, damaged, of another command, or with keys of the past
        return {}


def _tools(plan: Plan) -> Values:
    """Return the descriptions of the tools that tasks ask for; None for missing ones."""
    shown: Values = {}
    for task in (assignment.task for assignment in plan.assignments if assignment.sample == 0):
        if not all(f"tools.{name}" in shown for name in task.tools):
            specs = {s.name: f"{s.signature}: {s.description}" for s in plan.tools.specs(task)}
            shown |= {f"tools.{name}": specs.get(name) for name in task.tools}
    return shown


def _content_digest(path: Path) -> str:
    """Return the SHA-256 of a file's content, decompressed."""
    digest = hashlib.sha256()
    try:
        for block in blocks(path):
            digest.update(block)
    except (OSError, EOFError) as error:
        raise ConfigError(f"search.path: {path} cannot be read: {error}") from error
    return digest.hexdigest()


def _flat(tree: Mapping[str, Any], prefix: str) -> Iterable[tuple[str, Any]]:
    for key, value in msgspec.to_builtins(dict(tree), str_keys=True).items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from _flat(value, f"{name}.")
        else:
            yield name, list(value) if isinstance(value, tuple) else value


def _differences(there: Values, here: Values) -> list[str]:
    """Return the keys that differ, with both values; words count where both sides know them."""
    return [
        f"{key}: {_shown(there, key)} there, {_shown(here, key)} here"
        for key in sorted({*there, *here})
        if (key in there and key in here) or not key.startswith(_WORDS)
        if there.get(key, _ABSENT) != here.get(key, _ABSENT)
    ]


def _shown(values: Values, key: str) -> str:
    if key not in values:
        return _ABSENT
    text = msgspec.json.encode(values[key]).decode()
    return text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE - 20]} … {text[-17:]}"
