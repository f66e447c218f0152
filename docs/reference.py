"""Writes docs/configuration.md out of the schema and the options: ``python docs/reference.py``.

And the JSON schema of ``report.json``, which the package has. With ``--check`` it only says whether
both are up to date, by its exit status.
"""

import json
import sys
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from itertools import zip_longest
from pathlib import Path

from pydantic import BaseModel

from codeact.experiment.config.compose import Composed, Invocation, compose_config
from codeact.experiment.config.keys import Key, keys_of, option_meaning
from codeact.results.comparison.model import schema

PAGE = Path(__file__).with_name("configuration.md")
SCHEMA = PAGE.parents[1] / "codeact" / "results" / "comparison" / "report.schema.json"
SCHEMAS = {
    "run": "codeact.experiment.config.schema:RunConfig",
    "fork": "codeact.experiment.config.schema:RunConfig",
    "play": "codeact.experiment.config.schema:RunConfig",
    "chat": "codeact.experiment.config.schema:RunConfig",
    "validate": "codeact.experiment.config.schema:ValidateConfig",
    "prepare": "codeact.commands.prepare:PrepareConfig",
    "replay": "codeact.experiment.config.schema:ReplayConfig",
    "regrade": "codeact.experiment.config.schema:RegradeConfig",
    "compare": "codeact.results.comparison.settings:CompareConfig",
    "study": "codeact.results.studies.settings:StudyConfig",
    "tiers": "codeact.collection.settings:TiersConfig",
    "select": "codeact.collection.settings:SelectConfig",
    "import": "codeact.recordings.exchange:ImportConfig",
    "export": "codeact.recordings.exchange:ExportConfig",
    "convert": "codeact.collection.convert_settings:ConvertConfig",
    "stats": "codeact.collection.tokens:StatsConfig",
    "collect": "codeact.collection.recipe:CollectConfig",
    "sandbox": "codeact.experiment.config.schema:SandboxConfig",
    "view": "codeact.view.settings:ViewConfig",
}
HEAD = """\
# Configuration

Every key of every command. `codeact COMMAND --help` shows the same for what you have chosen. This
page is written by `python docs/reference.py`; a check fails when it is out of date.
"""


def main(words: list[str]) -> int:
    """Write the page, or check it."""
    texts = {PAGE: "\n".join(_page()) + "\n", SCHEMA: json.dumps(schema(), indent=2) + "\n"}
    if "--check" not in words:
        for file, text in texts.items():
            file.write_text(text, encoding="utf-8")
        return 0
    old = [file.name for file, text in texts.items() if file.read_text(encoding="utf-8") != text]
    for name in old:
        sys.stderr.write(f"{name} is out of date: python docs/reference.py\n")
    return int(bool(old))


def _page() -> Iterator[str]:
    yield HEAD
    told: set[str] = set()
    for command in SCHEMAS:
        composed, keys = _composed(command)
        yield f"## codeact {command}\n"
        groups = {key.partition("@")[0] for key in composed.groups}
        if groups:
            anchors = {group: group.replace("/", "") for group in sorted(groups)}
            linked = ", ".join(f"[{group}](#group-{one})" for group, one in anchors.items())
            yield f"Config groups: {linked}.\n"
        inside = tuple(f"{group.replace('/', '.')}." for group in groups)
        yield from _table(key for key in keys if not key.path.startswith(inside))
    for command in SCHEMAS:
        composed, _ = _composed(command)
        new = sorted({key.partition("@")[0] for key in composed.groups} - told)
        told.update(new)
        options = {group: sorted(composed.options[group], key=_stem) for group in new}
        keys = _keys_of_options(command, options)
        for group, files in options.items():
            yield from _group(group, files, keys)


def _stem(file: Path) -> str:
    return file.stem


def _word(group: str, option: Path) -> str:
    return f"{group.replace('/', '.')}={option.stem}"


def _keys_of_options(command: str, options: dict[str, list[Path]]) -> dict[Path, list[Key]]:
    """The keys of each option. One composition has an option of every group: they take time.

    A group within another fills keys of what is chosen there, and is composed by itself.
    """
    within = [{group: files} for group, files in options.items() if "/" in group]
    found = {}
    for some in ({g: files for g, files in options.items() if "/" not in g}, *within):
        for row in zip_longest(*some.values()):
            chosen = {group: file for group, file in zip(some, row, strict=True) if file}
            _, keys = _composed(command, *(_word(*one) for one in chosen.items()))
            for group, file in chosen.items():
                found[file] = [key for key in keys if key.path.startswith(f"{group}.")]
    return found


@cache
def _composed(command: str, *overrides: str) -> tuple[Composed, list[Key]]:
    module, _, name = SCHEMAS[command].partition(":")
    schema: type[BaseModel] = getattr(import_module(module), name)
    composed = compose_config(Invocation(command, overrides), resolve=False)
    return composed, list(keys_of(schema, composed.config))


def _group(group: str, options: list[Path], keys: dict[Path, list[Key]]) -> Iterator[str]:
    """Write a group's options, and each set of keys that any of them has."""
    yield f"## Group {group}\n"
    seen: dict[tuple[str, ...], list[str]] = {}
    rows: dict[tuple[str, ...], list[Key]] = {}
    for file in options:
        yield f"- `{_word(group, file)}`: {option_meaning(file)}"
        names = tuple(key.path for key in keys[file])
        seen.setdefault(names, []).append(file.stem)
        rows.setdefault(names, keys[file])
    yield ""
    for names, stems in seen.items():
        if len(seen) > 1:
            yield f"Keys of {', '.join(f'`{stem}`' for stem in stems)}:\n"
        yield from _table(rows[names])


def _table(keys: Iterator[Key] | list[Key]) -> Iterator[str]:
    rows = list(keys)
    if not rows:
        return
    yield "| key | type | default | meaning |"
    yield "| --- | --- | --- | --- |"
    for key in rows:
        value = f"`{key.value}`" if key.value else ""
        cells = (f"`{key.path}`", key.type, value, key.meaning)
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
    yield ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
