"""The suite's own rules: every test asserts, and the list of slow ones names tests that exist."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tests.conftest import known_durations

ROOT = Path(__file__).parent
ASSERTING_CALLS = {"raises", "warns", "fail"}
MODULES = sorted(ROOT.rglob("*.py"))
Function = ast.FunctionDef | ast.AsyncFunctionDef


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@cache
def functions(path: Path) -> dict[str, Function]:
    """The functions and methods of a module by their bare names, nested ones too."""
    return {node.name: node for node in ast.walk(tree_of(path)) if isinstance(node, Function)}


@cache
def known(path: Path) -> dict[str, tuple[Path, str]]:
    """Where each name that a module can call is defined: in itself, or in a module of the tests."""
    found = {}
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tests."):
            source = ROOT.parent.joinpath(*(node.module or "").split(".")).with_suffix(".py")
            for alias in node.names:
                found[alias.asname or alias.name] = (source, alias.name)
            # The methods of what is imported are called by their bare names.
            found |= {name: (source, name) for name in functions(source)}
    return found | {name: (path, name) for name in functions(path)}


@cache
def asserts(path: Path, name: str) -> bool:
    """Whether a function asserts, by itself or by a function of the tests that it calls."""
    seen = {(path, name)}
    waiting = [(path, name)]
    while waiting:
        here, called = waiting.pop()
        function = functions(here).get(called)
        if function is None:
            continue
        for node in ast.walk(function):
            if isinstance(node, ast.Assert) or call_name(node) in ASSERTING_CALLS:
                return True
            target = known(here).get(call_name(node))
            if target and target not in seen:
                seen.add(target)
                waiting.append(target)
    return False


def call_name(node: ast.AST) -> str:
    if not isinstance(node, ast.Call):
        return ""
    if isinstance(node.func, ast.Attribute):
        return node.func.attr
    return node.func.id if isinstance(node.func, ast.Name) else ""


def names_of_tests(path: Path) -> Iterator[str]:
    return (name for name in functions(path) if name.startswith("test_"))


def test_every_test_asserts_something_of_its_own() -> None:
    empty = [
        f"{path.relative_to(ROOT)}::{name}"
        for path in MODULES
        if path.name.startswith("test_")
        for name in names_of_tests(path)
        if not asserts(path, name)
    ]
    assert empty == [], "they would pass whatever happens: assert, or remove them"


def test_the_list_of_slow_tests_names_tests_that_exist() -> None:
    gone = []
    for name in known_durations():
        file, _, test = name.partition("::")
        path = ROOT / file
        if not path.is_file() or test.split("::")[-1] not in functions(path):
            gone.append(name)
    assert gone == [], "rename them in tests/durations.json too, or: make durations"
