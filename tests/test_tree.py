"""The tree of the sources: no file that nobody reads to its end."""

from pathlib import Path

ROOT = Path(__file__).parents[1]
MOST_LINES = 400


def test_no_file_is_longer_than_a_few_screens() -> None:
    files = [*(ROOT / "codeact").rglob("*.py"), *(ROOT / "sandbox").rglob("*.py")]
    assert len(files) > 200
    lengths = {
        str(file.relative_to(ROOT)): len(file.read_text("utf-8").splitlines()) for file in files
    }
    assert {name: lines for name, lines in lengths.items() if lines > MOST_LINES} == {}
