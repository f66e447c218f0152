"""One word for one thing, no document that is not there, and examples that are true."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from codeact.datasets import get
from codeact.episode.task import Task
from codeact.graders.base import Mode
from codeact.sandboxes.base import Sandbox

ROOT = Path(__file__).parent.parent
WORDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
DOCUMENT = re.compile(r"(?<![\w./$}*-])[\w-]+(?:/[\w-]+)*\.md\b")
MADE_BY_COMMANDS = {"README.md", "report.md"}
"""Written beside a data set; also the name of documents that are here."""


def tables() -> tuple[list[list[str]], list[list[str]], list[list[str]]]:
    """The rows of the glossary's three tables, without their heads."""
    text = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    found = []
    for part in re.split(r"\n## ", text):
        lines = [line for line in part.splitlines() if line.startswith("| ")][2:]
        found.append([[cell.strip() for cell in line.strip("|").split("|")] for line in lines])
    terms, synonyms, homes = found
    return terms, synonyms, homes


def words_of(name: str) -> set[str]:
    words = {word.lower() for word in WORDS.findall(name)}
    return words | {word[:-1] for word in words if word.endswith("s")}


def public_names(text: str) -> Iterator[str]:
    """Classes and functions of a module, and methods of its classes."""
    for node in ast.parse(text).body:
        if not isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if node.name.startswith("_"):
            continue
        yield node.name
        if isinstance(node, ast.ClassDef):
            for inner in node.body:
                is_function = isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef)
                if is_function and not inner.name.startswith("_"):
                    yield f"{node.name}.{inner.name}"


def violations(module: str, text: str) -> list[str]:
    """What is wrong with the names of a module; `module` is its dotted name without ``codeact.``"""
    _, synonyms, homes = tables()
    better = {word: term for words, term in synonyms for word in words.split(", ")}
    found = []
    for name in [module.rpartition(".")[2], *public_names(text)]:
        words = words_of(name.rpartition(".")[2])
        found += [f"{module}: {name}: not {w!r}: {better[w]}" for w in words & better.keys()]
        for term, packages in homes:
            allowed = [package.strip("` ") for package in packages.split(",")]
            at_home = any(f"{module}.".startswith(f"{package}.") for package in allowed)
            if term in words and not at_home:
                found.append(f"{module}: {name}: {term!r} means something else here; see {allowed}")
    return found


def test_public_names_use_the_terms_of_the_glossary() -> None:
    found = []
    for path in sorted((ROOT / "codeact").rglob("*.py")):
        module = ".".join(path.relative_to(ROOT / "codeact").with_suffix("").parts)
        found += violations(module.removesuffix(".__init__"), path.read_text(encoding="utf-8"))
    assert found == []


@pytest.mark.parametrize(
    ("module", "text", "word"),
    [
        ("experiment.compute.crew", "", "crew"),
        ("experiment.sweep", "class Cell: ...", "cell"),
        ("experiment.sweep", "def cells(): ...", "cell"),
        ("experiment.compute.pool", "class Pool:\n    async def turn(self): ...", "turn"),
        ("experiment.compute.base", "class Player: ...", "player"),
        ("experiment.config.reference", "", "reference"),
        ("experiment.events", "class Audience: ...", "audience"),
        ("models.replicas", "class ServerHealth: ...", "health"),
    ],
)
def test_a_name_that_uses_a_term_otherwise_is_found(module: str, text: str, word: str) -> None:
    (found,) = violations(module, text)
    assert repr(word) in found


def test_names_that_hide_nothing_public_are_left_alone() -> None:
    assert violations("experiment.sweep", "class _Cell:\n    def turn(self): ...") == []
    assert violations("sandboxes.cells", "class Cell: ...\ndef run_cells(): ...") == []
    assert violations("models.pace", "class Admission:\n    def _cell(self): ...") == []


def test_the_glossary_is_short_and_in_order() -> None:
    terms, _, homes = tables()
    names = [term for term, _ in terms]
    assert len(names) <= 40
    assert names == sorted(names)
    assert {term for term, _ in homes} <= {word for name in names for word in name.split()}


def test_no_public_class_has_a_name_twice() -> None:
    seen: dict[str, str] = {}
    twice = []
    for path in sorted((ROOT / "codeact").rglob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                where = str(path.relative_to(ROOT))
                if node.name in seen:
                    twice.append(f"{node.name}: {seen[node.name]} and {where}")
                seen[node.name] = where
    assert twice == []


def test_every_new_name_in_the_list_of_renames_exists() -> None:
    code = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "codeact").rglob("*.py"))
    rows = (ROOT / "docs" / "renames.md").read_text(encoding="utf-8").splitlines()
    names = [
        name.rpartition(".")[2]
        for row in rows
        if row.startswith("| `")
        for name in re.findall(r"`([\w.]+)`", row.split("|")[2])
    ]
    missing = [name for name in names if not re.search(rf"\b(?:class|def) {name}\b", code)]
    assert missing == []
    assert len(names) >= 30


def texts() -> Iterator[Path]:
    """Every file of the project that is written by hand."""
    for name in (
        "codeact",
        "sandbox",
        "tests",
        "benchmarks",
        "examples",
        "launchers",
        "conf",
        "docs",
    ):
        for path in sorted((ROOT / name).rglob("*")):
            written = path.suffix in {".py", ".md", ".yaml", ".sh", ".sbatch", ""}
            if path.is_file() and written and "data" not in path.parts:
                yield path
    yield from (
        ROOT / name for name in ("README.md", "CONTRIBUTING.md", "Makefile", "pyproject.toml")
    )


def missing_documents(text: str, beside: Path) -> list[str]:
    places = (ROOT, ROOT / "docs", beside)
    return [
        name
        for name in DOCUMENT.findall(text)
        if name not in MADE_BY_COMMANDS and not any((place / name).is_file() for place in places)
    ]


def test_every_document_that_is_mentioned_is_in_the_repository() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in texts()
        if path != Path(__file__)
        for name in missing_documents(path.read_text(encoding="utf-8"), path.parent)
    ]
    assert found == []


def test_a_document_that_is_not_there_is_found() -> None:
    assert missing_documents("See postprocess.md, rule 4, and docs/grading.md.", ROOT) == [
        "postprocess.md"
    ]
    assert missing_documents("see docs/design.md", ROOT) == ["docs/design.md"]


def sections(path: Path) -> set[str]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return {line.lstrip("#").strip() for line in lines if line.startswith("#")}


def test_every_section_that_the_code_names_is_in_its_document() -> None:
    named = re.compile(r'docs/(\w+\.md), "([^"]+)"(?: and "([^"]+)")?')
    seen, missing = 0, []
    for path in texts():
        text = re.sub(r"\s*\n\s*", " ", path.read_text(encoding="utf-8"))
        for document, *titles in named.findall(text) if path != Path(__file__) else []:
            there = sections(ROOT / "docs" / document)
            seen += 1
            missing += [f"{path.name}: {document}: {t}" for t in titles if t and t not in there]
    assert missing == []
    assert seen > 10


def numbered_rules(text: str) -> list[str]:
    return re.findall(r"(?i)\brules? \d+", text)


def test_no_rule_goes_by_a_number() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {rule}"
        for path in texts()
        if path != Path(__file__)
        for rule in numbered_rules(path.read_text(encoding="utf-8"))
    ]
    assert found == []


GRADING = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in (ROOT / "docs" / "grading.md").read_text(encoding="utf-8").splitlines()
    if re.search(r"\| (?:right|wrong) \| (?:right|wrong) \|", line)
]
OPTIONS = "Which? Options: [a) alpha , b) beta , c) gamma , d) delta]"


class NoSandbox(Sandbox):
    """These graders read plain text on the host."""


@pytest.mark.parametrize("row", GRADING, ids=lambda row: f"{row[0]}-{row[2]}")
async def test_examples_of_verdicts_are_true(row: list[str]) -> None:
    name, reference, answer, *verdicts = (cell.strip("`") for cell in row[:5])
    prompt = OPTIONS if name == "mmlu" else "Q?"
    task = Task(name=name, id="1", prompt=prompt, reference=reference)
    modes: list[Mode] = ["strict", "mint"]
    graders = [get(name).grader(mode) for mode in modes]
    found = [(await grader(task, answer, NoSandbox())).correct for grader in graders]
    assert ["right" if correct else "wrong" for correct in found] == verdicts
    assert len(GRADING) > 10
