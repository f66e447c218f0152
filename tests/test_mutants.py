"""The mutation check knows every module of its scope, and changes only what tests should hold."""

import ast
from pathlib import Path

import pytest

from tests.helpers.documents import ROOT
from tests.helpers.mutation import Mutant, excluded, is_excluded
from tests.mutants import TESTS, Copies, ModuleTests

FOLDERS = ("episode", "episode/prompts", "graders")


def test_every_module_of_the_scope_has_a_row() -> None:
    here = ROOT / "codeact"
    files = [file for folder in FOLDERS for file in (here / folder).glob("*.py")]
    # What holds fields and nothing else, and modules of texts, have nothing to change.
    silent = {
        "episode/prompts/households.py",
        "episode/settings.py",
        "episode/task.py",
        "graders/base.py",
        "graders/unanswerable.py",
    }
    wanted = {str(f.relative_to(here)) for f in files if f.name != "__init__.py"} - silent
    assert wanted <= set(TESTS)
    assert [name for name in TESTS if not (here / name).is_file()] == []


def test_every_test_that_is_named_exists() -> None:
    for row in TESTS.values():
        for name in (*row.first, *row.quick, *row.slow):
            file, _, test = name.partition("::")
            path = ROOT / "tests" / file
            assert path.is_file(), name
            assert not test or f"def {test}(" in path.read_text(encoding="utf-8"), name


SOURCE = """\
from functools import cache
Text = str | None
class Row:
    __slots__ = ("a" + "b",)
@cache
def f(a: int | None, b: "int" = 1 + 1) -> Text | list[int]:
    assert a != 1
    if b == 2:
        raise ValueError("no" + str(b - 1))
    mask: Text | int = a | b
    return FLAG | OTHER
"""


@pytest.mark.parametrize(
    ("words", "line", "out"),
    [
        ("str | None", 2, True),
        ('"a" + "b"', 4, True),
        ("cache", 5, True),
        ("int | None", 6, True),
        ("1 + 1", 6, False),
        ("Text | list", 6, True),
        ("a != 1", 7, True),
        ("b == 2", 8, False),
        ("b - 1", 9, True),
        ("Text | int", 10, True),
        ("a | b", 10, False),
        ("FLAG | OTHER", 11, False),
    ],
)
def test_only_what_changes_behaviour_is_changed(words: str, line: int, out: bool) -> None:
    column = SOURCE.splitlines()[line - 1].index(words)
    assert is_excluded((line, column), excluded(SOURCE)) is out


def test_a_diff_shows_the_module_and_the_line() -> None:
    changed = SOURCE.replace("b == 2", "b != 2")
    ast.parse(changed)
    diff = Mutant(1, "episode/machine.py", SOURCE, changed).diff()
    assert "codeact/episode/machine.py" in diff
    assert "-    if b == 2:\n+    if b != 2:" in diff


def test_a_fault_in_a_copy_is_found_and_a_comment_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = "experiment/budget.py"
    monkeypatch.setitem(TESTS, module, ModuleTests(("experiment/test_budget.py",)))
    file = ROOT / "codeact" / module
    source = file.read_text(encoding="utf-8")
    fault = source.replace("self.tokens >= budget.tokens", "self.tokens > budget.tokens")
    copies = Copies(tmp_path, 1)
    for after, result in ((fault, "killed"), (f"{source}# A comment.\n", "survived")):
        assert after != source
        assert copies.test(Mutant(1, module, source, after), 300)[0] == result
    assert file.read_text(encoding="utf-8") == source
    assert copies.test(Mutant(1, module, source, "while True: pass"), 1.0)[0] == "timeout"
