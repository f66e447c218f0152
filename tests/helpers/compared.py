"""Run folders that comparisons read: records written by hand, with a configuration."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from codeact.episode.effects import Usage
from codeact.episode.record import encode
from codeact.exceptions import Cause
from codeact.experiment.config.compose import to_yaml
from codeact.recordings.definition import VERSION, Definition
from tests.helpers.records import configured, make_record

Outcome = bool | Cause


def run_folder(
    folder: Path,
    outcomes: Mapping[str, Sequence[Outcome]],
    *words: str,
    digests: Mapping[str, str] | None = None,
    tokens: int = 10,
    values: Mapping[str, Any] | None = None,
) -> Path:
    """Write a run: for each task whether each sample succeeded, or the cause of its failure.

    An episode has one to three turns, by its task's number. Of the configuration `words` are
    overrides; `values` are its definition.
    """
    folder.mkdir(parents=True)
    lines = []
    for task, samples in outcomes.items():
        for sample, outcome in enumerate(samples):
            failed = isinstance(outcome, str)
            record = make_record(
                task,
                success=outcome is True,
                cause=outcome if failed else None,  # type: ignore[arg-type]
            )
            record.id = f"gsm8k/{task}/s/{sample}"
            record.sample = sample
            record.task_digest = (digests or {}).get(task, f"digest-{task}")
            record.usage = Usage(tokens, sample)
            record.turns *= 1 + int(task) % 3
            lines.append(encode(record) + b"\n")
    (folder / "episodes.jsonl").write_bytes(b"".join(lines))
    (folder / "config.yaml").write_text(to_yaml(configured(*words).model_dump()))
    if values is not None:
        definition = Definition(version=VERSION, digest="s", values=dict(values))
        (folder / "identity.json").write_bytes(msgspec.json.encode(definition))
    return folder


def solved(which: Iterable[int], of: int) -> dict[str, list[Outcome]]:
    """Return one sample of each of so many tasks, of which some were solved."""
    chosen = set(which)
    return {str(task): [task in chosen] for task in range(of)}
