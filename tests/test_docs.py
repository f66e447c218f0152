"""The documents keep their word: their commands run, their links resolve, their output is real."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.helpers.checkout import Checkout
from tests.helpers.documents import ROOT, Command, blocks, commands

PAGES = [
    *sorted(ROOT.glob("*.md")),
    *sorted(ROOT.glob("docs/**/*.md")),
    *sorted(ROOT.glob("examples/**/*.md")),
]
EVERYWHERE = [*PAGES, *sorted(ROOT.glob("launchers/**/*.md"))]
DATA_SETS = [*(ROOT / "codeact" / "datasets").glob("*/task.py")]
LANGUAGES = {"sh", "console", "text", "python", "yaml", "json", "mermaid"}


class Mark(NamedTuple):
    """A command that runs with words added: how it begins, the words, and why they are needed."""

    begins: str
    words: tuple[str, ...]
    why: str


DRY = ("dry_run=true",)
COMPOSED = ("--cfg", "job")
UNLOADED = ("executor.preload=[]",)
ALFWORLD = (
    "prepare task=alfworld",
    "validate task=alfworld",
    "run model=openai task=alfworld",
    "replay transcripts task=alfworld",
)
MARKS = [
    Mark("make mutants", ("--dry-run",), "runs the tests hundreds of times, for 20 minutes"),
    Mark("make", ("--dry-run",), "installs packages, runs for minutes, or runs these tests"),
    *(Mark(f"codeact {words}", COMPOSED, "needs ALFWorld's games") for words in ALFWORLD),
    Mark("codeact run model=openai", DRY, "needs a key"),
    Mark("codeact run model=azure", DRY, "needs a key"),
    Mark("codeact run step=true", DRY, "asks a person"),
    Mark("codeact chat", DRY, "asks a person"),
    Mark("codeact view runs", ("form=text",), "serves a page until it is ended"),
    Mark("codeact study turns source=transcripts", COMPOSED, "needs the published recordings"),
    Mark("codeact run model=server", DRY, "needs a model server"),
    Mark("codeact run model=vllm", DRY, "needs GPUs"),
    Mark("codeact convert runs/exact", COMPOSED, "needs a run with model.tokens=exact"),
    Mark("codeact prepare corpus=sample", ("verify=true",), "runs: the default changes nothing"),
    Mark("codeact prepare", ("--cfg", "job"), "needs the network"),
    Mark("python docs/", ("--check",), "says whether what is in the tree is up to date"),
    Mark("codeact sandbox check executor=docker", ("--cfg", "job"), "needs a Docker engine"),
    Mark("codeact validate task=sample", ("total_limit=1",), "tests of validate have all"),
    Mark(
        "codeact validate task=toolbench",
        ("limit=6", "formats=[code,json]"),
        "tests/experiment/test_walkthroughs.py has one of each kind, in every format",
    ),
    Mark(
        "codeact fork", ("total_limit=2", *UNLOADED), "tests/experiment/test_continuing.py has all"
    ),
    Mark("codeact run model=scripted", UNLOADED, "no cell needs a library, which takes a second"),
    Mark("codeact play", UNLOADED, "no cell needs a library, which takes a second"),
    Mark(
        "codeact collect recipe=sample out=runs/collected",
        DRY,
        "docs/results/sample.md has all, with what is printed",
    ),
    Mark("codeact replay", ("limit=1",), "tests/experiment/test_replay.py has all"),
    Mark("codeact regrade", ("limit=1",), "tests/experiment/test_replay.py has all"),
]
"""The first that fits holds. `make` shows what it would do; what cannot run is composed."""


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("VIRTUAL_ENV", raising=False)
        yield Checkout(tmp_path_factory.mktemp("checkout"))


def mark_of(command: Command) -> Mark | None:
    return next((mark for mark in MARKS if command.text.startswith(mark.begins)), None)


def all_commands() -> list[Command]:
    return [command for page in PAGES for command in commands(page)]


@pytest.mark.docs
@pytest.mark.timeout(600)
@pytest.mark.usefixtures("local_sandbox")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_of_a_page_runs(page: Path, checkout: Checkout) -> None:
    """In the page's order, in one copy of the working tree; what is printed is as it is shown."""
    for command in commands(page):
        mark = mark_of(command)
        done = checkout.run(command, *(mark.words if mark else ()))
        assert done.returncode == 0, f"{command.place}\n{done.stdout}{done.stderr}"
        if command.output is not None:
            assert plain(done.stdout) == plain(command.output), command.place
    assert checkout.stray() == []


def plain(text: str) -> list[str]:
    """Lines without the blanks that tables end with."""
    return [line.rstrip() for line in text.strip().splitlines()]


def test_every_mark_is_needed() -> None:
    used = {mark_of(command) for command in all_commands()}
    assert [mark.begins for mark in MARKS if mark not in used] == []


def test_commands_hide_in_no_block_without_a_language() -> None:
    unknown = [
        f"{block.file.relative_to(ROOT)}:{block.line}"
        for page in PAGES
        for block in blocks(page)
        if block.language not in LANGUAGES
    ]
    assert unknown == []


def test_no_command_is_a_placeholder() -> None:
    """A word in capitals that the reader would have to replace."""
    assert [
        command.place
        for command in all_commands()
        if any(re.search(r"(^|[=/])[A-Z]{3,}(\.\.\.)?$", word) for word in command.words)
    ] == []


LINK = re.compile(r"\]\(([^)#\s]*)(#[^)\s]*)?\)")


@pytest.mark.parametrize("page", EVERYWHERE, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_resolve(page: Path) -> None:
    prose = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target, anchor in LINK.findall(prose):
        if target.startswith(("http://", "https://")):
            continue
        file = page.parent / target if target else page
        assert file.exists(), f"{page}: {target}"
        if anchor and file.suffix == ".md":
            assert anchor[1:] in headings(file), f"{page}: {target}{anchor}"


def headings(page: Path) -> set[str]:
    """The anchors of a page, as they are made of its headings."""
    titles = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


PATH = re.compile(r"`((?:codeact|conf|docs|examples|launchers|benchmarks|sandbox|tests)/[\w./-]*)`")


@pytest.mark.parametrize("page", EVERYWHERE, ids=lambda page: str(page.relative_to(ROOT)))
def test_paths_that_are_named_exist(page: Path) -> None:
    named = PATH.findall(page.read_text(encoding="utf-8"))
    assert [name for name in named if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("script", ["anchors", "import_graph"])
def test_what_is_written_from_the_code_is_up_to_date(script: str) -> None:
    subprocess.run([sys.executable, f"docs/{script}.py", "--check"], cwd=ROOT, check=True)


def test_the_table_of_data_sets_counts_lines_as_they_are() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\w+)[^|]* \| (\d+) \| (\d+) \|", text, re.MULTILINE)
    prepared = [path.parent for path in DATA_SETS if path.with_name("prepare.py").exists()]
    folders = {folder.name.replace("_", ""): folder for folder in prepared}
    assert {name.lower() for name, _, _ in rows} == set(folders)
    for name, *counts in rows:
        folder = folders[name.lower()]
        there = [len((folder / f).read_text().splitlines()) for f in ("prepare.py", "task.py")]
        assert [int(count) for count in counts] == there, name


def test_the_readme_leads_to_every_page() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    pages = {str(page.relative_to(ROOT)) for page in ROOT.glob("docs/**/*.md")}
    assert {page for page in pages if f"]({page})" not in text} == {"docs/import_graph.md"}


def test_the_readme_names_every_option_of_every_group() -> None:
    """Its table of groups has what conf/ has, and no more."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([\w/]+)` \| (.*?) \| .*\|$", text, re.MULTILINE)
    for group, named in rows:
        options = {file.stem for file in (ROOT / "conf" / group).glob("*.yaml")}
        if group == "model":
            options -= {"none"}  # For feedback only.
        if group == "turns":
            assert set(re.findall(r"`(\w+)`", named)) <= options
        else:
            assert set(re.findall(r"`(\w+)`", named)) == options, group
    assert {group for group, _ in rows} >= {
        "model",
        "model/dialect",
        "task",
        "turns",
        "executor",
        "compute",
    }
