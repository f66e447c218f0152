"""The card of a data set: metadata for a hub, and what users have to know."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from omegaconf import OmegaConf

from codeact import __version__
from codeact.collection.report import SelectionReport
from codeact.collection.tags import TagSettings
from codeact.files import file_digest

UNKNOWN_LICENCE = "other"
_SHOWN = 40


class Split(NamedTuple):
    """One part of a data set: its file in the folder, and the files that it came from.

    `more` are the columns of its messages beside role, content and loss.
    """

    name: str
    file: str
    sources: tuple[Path, ...]
    examples: int
    more: tuple[str, ...] = ()


def card(
    splits: Sequence[Split], *, licence: str, loss: str | None, tags: TagSettings, left_out: int
) -> str:
    """Return Markdown with YAML metadata. `left_out` are lines and conversations of no split."""
    more = any(one.more for one in splits)
    reports = _reports(splits)
    head: dict[str, Any] = {"license": licence}
    if licence == UNKNOWN_LICENCE:
        head["license_name"] = "unknown"
    head |= {
        "task_categories": ["text-generation"],
        "tags": ["agents", "code"],
        "pretty_name": "Conversations of agents that act by writing code",
        "configs": [
            {
                "config_name": "default",
                "data_files": [{"split": one.name, "path": one.file} for one in splits],
            }
        ],
    }
    lines = [
        "---",
        OmegaConf.to_yaml(OmegaConf.create(head)).rstrip(),
        "---",
        "",
        "# Conversations of agents that act by writing code",
        "",
        "`conversations` are messages with role and content; where the models reasoned or called "
        "tools, also with `reasoning`, `tool_calls` and `tool_call_id`."
        if more
        else "`conversations` are messages with role and content.",
        "",
        *_table(("split", "examples"), [(one.name, f"{one.examples:,}") for one in splits]),
        "",
        *([f"{left_out:,} lines or conversations could not be used.", ""] if left_out else []),
        *_training(loss, tags),
        *_licence(licence, reports),
        *_models(reports),
        *_selection(reports),
        *_settings(reports),
        "## Made of",
        "",
        f"Made by codeact {__version__} of:",
        "",
        *(
            f"- {one.name}: `{path.name}`, sha256 `{file_digest(path)}`"
            for one in splits
            for path in one.sources
        ),
    ]
    return "\n".join([*lines, ""])


def _reports(splits: Sequence[Split]) -> list[SelectionReport]:
    """The reports of the selections that the files lie beside, each once."""
    found = []
    sources = [path for one in splits for path in one.sources]
    for path in dict.fromkeys(one.with_name("report.json").resolve() for one in sources):
        try:
            found.append(msgspec.json.decode(path.read_bytes(), type=SelectionReport))
        except (OSError, msgspec.MsgspecError):
            continue  # other people's conversations, or another command's report
    return found


def _training(loss: str | None, tags: TagSettings) -> Iterator[str]:
    yield from ("## Training", "")
    if loss is None:
        yield "Which messages are trained is not said."
    else:
        yield (
            f"`loss` says which messages are trained, by the preset `{loss}`. Text after the first "
            "action of a turn is never trained: the message ends there, or is not trained where "
            "the environment may have answered what follows."
        )
    yield ""
    for tag, marks in (("code", tags.execute), ("solution", tags.solution)):
        if marks is None:
            own = "execute" if tag == "code" else tag
            yield f"- {tag}: `<{own}>` … `</{own}>`, as it was recorded"
        else:
            yield f"- {tag}: {marks.called} ({marks.open.strip()!r} … {marks.close.strip()!r})"
    yield ""


def _licence(licence: str, reports: Sequence[SelectionReport]) -> Iterator[str]:
    yield from ("## Licence", "")
    if licence != UNKNOWN_LICENCE:
        yield from (f"`{licence}`, as stated by whoever made this data set.", "")
        return
    names = sorted({name for report in reports for name in _kept_by_task(report)})
    models = sorted({one.model for report in reports for one in report.origins if one.kept})
    yield from (
        "**Unknown: nobody stated it.** Before you pass this data set on, check",
        "",
        f"- the licences of the data sets that the tasks are from ({_words(names)}),",
        "- the terms of those who offer the models, above all whether what these wrote may train "
        f"others ({_words(models)}),",
        "- the licence of what tools gave back, such as pages of an encyclopaedia.",
        "",
        "Then state it with `licence=`.",
        "",
    )


def _words(names: Sequence[str]) -> str:
    return ", ".join(names) or "unknown: no report.json lay beside the conversations"


def _kept_by_task(report: SelectionReport) -> dict[str, int]:
    found: dict[str, int] = {}
    for tier in report.tiers.values():
        for name, count in tier.kept_by_task.items():
            found[name] = found.get(name, 0) + count
    return found


def _models(reports: Sequence[SelectionReport]) -> Iterator[str]:
    yield from ("## Models and runs", "")
    rows = [
        (
            one.model,
            one.turn_setting,
            one.feedback,
            ", ".join(dict.fromkeys(one.runs)) or "published recordings",
            f"{one.records:,}",
            f"{one.kept:,}",
        )
        for report in reports
        for one in report.origins
        if one.kept
    ]
    if rows:
        head = ("model", "turns", "feedback", "runs", "records", "conversations")
        yield from _table(head, rows[:_SHOWN])
        if len(rows) > _SHOWN:
            yield from ("", f"and {len(rows) - _SHOWN} more.")
    else:
        yield "Unknown: no report.json of a selection lay beside the conversations."
    yield ""


def _selection(reports: Sequence[SelectionReport]) -> Iterator[str]:
    if not reports:
        return
    yield from ("## Selection", "")
    for report in reports:
        yield from (f"`selection={report.preset}`, from {report.records:,} records:", "")
        tiers = list(report.tiers.items())
        rows = [("records", *(f"{tier.records:,}" for _, tier in tiers))]
        for taken in zip(*(tier.taken for _, tier in tiers), strict=True):
            if any(one.records for one in taken):
                rows.append((f"taken by {taken[0].name}", *(f"{one.records:,}" for one in taken)))
        rows.append(("conversations", *(f"{tier.kept:,}" for _, tier in tiers)))
        yield from (*_table(("", *(name for name, _ in tiers)), rows), "")


def _settings(reports: Sequence[SelectionReport]) -> Iterator[str]:
    found = [
        (name, played)
        for report in reports
        for one in report.origins
        if one.kept
        for name, played in zip(one.runs, one.played, strict=False)
    ]
    if not found:
        return
    yield from ("## Settings of the runs", "")
    for name, played in dict(found[:_SHOWN]).items():
        words = "; ".join(f"{key}: {_value(value)}" for key, value in played.items())
        yield f"- {name}: {words}"
    yield ""


def _value(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|---|{'---:|' * (len(head) - 1)}"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"
