"""docs/extending.md has every member of each interface, and names none that is not there."""

import re
from dataclasses import fields
from typing import Any

import msgspec
import pytest

from codeact.collection.filters import Filter
from codeact.collection.selection import SelectionStep
from codeact.datasets.family import Family
from codeact.datasets.preparing.base import Choice, Journal, Made, Preparer
from codeact.datasets.preparing.raw import Raw
from codeact.episode.effects import Completion, Verdict
from codeact.episode.prompts import PromptStrategy
from codeact.episode.task import Task, ToolSpec
from codeact.experiment.config.trackers import TrackerSettings
from codeact.models.base import (
    Detokenizes,
    EpisodeKey,
    Metered,
    ModelClient,
    ModelSettings,
    Probed,
    Request,
    SharesLimits,
)
from codeact.results.trackers.base import FinalUpdate, SettingsLabels, TrackedRun, Tracker
from codeact.results.trackers.metrics import MetricsRow
from codeact.tools import Tool
from tests.helpers.documents import ROOT

PAGE = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")


def own(part: type, *without: str) -> set[str]:
    """The public names that a class itself defines, fields and methods."""
    annotated = getattr(part, "__annotations__", {})
    names = {name for name in [*vars(part), *annotated] if not name.startswith("_")}
    return names - {"model_config", "model_fields", "model_computed_fields", *without}


def of_struct(part: type) -> set[str]:
    return {one.name for one in msgspec.structs.fields(part)}


def of_tuple(part: Any) -> set[str]:
    return set(part._fields)


INTERFACES: list[tuple[str, set[str]]] = [
    ("A task family", own(Family) | {one.name for one in fields(Family)}),
    ("A grader", of_struct(Verdict) | of_struct(Task)),
    ("A preparer", {one.name for one in fields(Preparer)} | of_tuple(Choice) | of_tuple(Made)),
    ("A preparer", own(Journal) | own(Raw, "label", "path", "refuse", "digests")),
    ("A tool", of_tuple(Tool) | of_struct(ToolSpec)),
    ("A model", own(ModelSettings) | own(ModelClient)),
    ("A model", own(SharesLimits) | own(Probed) | own(Metered) | own(Detokenizes)),
    ("A model", of_struct(Request) | of_struct(Completion) | of_struct(EpisodeKey)),
    ("A prompt strategy", own(PromptStrategy)),
    ("A filter", of_tuple(Filter) | of_tuple(SelectionStep)),
    ("A tracker", own(TrackerSettings) | own(Tracker) | of_tuple(TrackedRun)),
    ("A tracker", of_tuple(FinalUpdate) | of_tuple(MetricsRow) | of_tuple(SettingsLabels)),
]


def section(title: str) -> str:
    """A section's text."""
    return PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def words_in_code(text: str) -> set[str]:
    """All words between backticks, and in fenced blocks."""
    code = re.findall(r"```.*?```|`[^`\n]+`", text, re.DOTALL)
    return set(re.findall(r"\w+", " ".join(code)))


@pytest.mark.parametrize(("title", "members"), INTERFACES)
def test_every_member_is_described(title: str, members: set[str]) -> None:
    assert members
    assert members - words_in_code(section(title)) == set()


@pytest.mark.parametrize("title", dict.fromkeys(title for title, _ in INTERFACES))
def test_every_row_of_a_table_is_a_member(title: str) -> None:
    known = set().union(*(members for of, members in INTERFACES if of == title))
    first = re.findall(r"^\| (`.*?`) \|", section(title), re.MULTILINE)
    named = {name for cell in first for name in re.findall(r"`(\w+)", cell)}
    assert named - known == set()


def test_the_table_of_parts_has_every_entry_point_group() -> None:
    sources = [*(ROOT / "codeact").rglob("*.py")]
    used = {
        group
        for source in sources
        for group in re.findall(r'group="(codeact\.\w+)"', source.read_text(encoding="utf-8"))
    }
    assert used == set(re.findall(r"\| `(codeact\.\w+)` \|", PAGE))
