"""The tree of the sources: no file that nobody reads to its end."""

from pathlib import Path

from codeact.sandboxes.guest_program import guest_files

ROOT = Path(__file__).parents[1]
MOST_LINES = 400


def test_no_file_is_longer_than_a_few_screens() -> None:
    files = [*(ROOT / "codeact").rglob("*.py"), *(ROOT / "sandbox").rglob("*.py")]
    assert len(files) > 200
    lengths = {
        str(file.relative_to(ROOT)): len(file.read_text("utf-8").splitlines()) for file in files
    }
    assert {name: lines for name, lines in lengths.items() if lines > MOST_LINES} == {}


def test_what_a_cell_does_to_builtins_reaches_no_module_of_the_guest() -> None:
    """A module's functions look up builtins in the module that they are made in."""
    own = 'globals()["__builtins__"] = BUILTINS'
    modules = [path for path in guest_files() if not path.stem.startswith("__")]
    for path in modules:
        before, found, _ = path.read_text("utf-8").partition(own)
        assert found, path.name
        assert "\ndef " not in before, path.name
        assert "\nclass " not in before, path.name
