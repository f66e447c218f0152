"""The files of a comparison: one page without the outside, a schema, plots; and the command."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import jsonschema
import msgspec
import pytest

import codeact
from codeact.commands.compare import main
from codeact.results.comparison.compare import compare
from codeact.results.comparison.files import write_report
from codeact.results.comparison.model import ComparisonReport, schema
from tests.helpers.compared import run_folder, solved

HOSTILE = "$x_<script>alert(1)</script>|`$"
PUBLISHED = Path(codeact.__file__).parent / "results" / "comparison" / "report.schema.json"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of three runs, one of them with a name that is markup in every format."""
    root = tmp_path_factory.mktemp("compared")
    sources = [
        run_folder(root / name, solved(range(place, 20 + 3 * place), 40))
        for place, name in enumerate(("a", HOSTILE.replace("/", "_"), "c"))
    ]
    write_report(compare(*sources).report, str(root / "out"))
    return root / "out"


def test_the_published_schema_is_that_of_the_report(written: Path) -> None:
    assert json.loads(PUBLISHED.read_bytes()) == schema(), "python docs/reference.py writes it"
    document = json.loads((written / "report.json").read_bytes())
    jsonschema.Draft202012Validator(schema()).validate(document)
    del document["pairs"][0]["p"]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(schema()).validate(document)


def test_the_report_reads_back_equal(written: Path) -> None:
    content = (written / "report.json").read_bytes()
    report = msgspec.json.decode(content, type=ComparisonReport)
    assert json.loads(msgspec.json.encode(report)) == json.loads(content)


class References(HTMLParser):
    """What a page refers to, and the elements that it has."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.found += [value or "" for name, value in attrs if name in ("src", "href", "srcset")]


def test_the_page_refers_to_nothing_outside_and_runs_nothing(written: Path) -> None:
    page = (written / "report.html").read_text()
    seen = References()
    seen.feed(page)
    assert seen.tags.count("img") == 4
    assert all(one.startswith("data:image/svg+xml;base64,") for one in seen.found)
    assert not {"script", "link", "iframe"} & set(seen.tags)
    assert not re.search(r"url\(|@import|https?://", page)
    assert "default-src 'none'" in page


def test_names_are_no_markup(written: Path) -> None:
    text = (written / "report.md").read_text()
    assert "<script>" not in text.replace("\\<", "")
    assert not re.search(r"(?<!\\)\|`", text)
    for name in ("rates", "differences", "turns", "cost"):
        content = (written / f"{name}.svg").read_text()
        ElementTree.fromstring(content)
        assert (written / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert "$x_&lt;script&gt;" in (written / "rates.svg").read_text()


def test_equal_comparisons_are_equal_files(written: Path, tmp_path: Path) -> None:
    report = msgspec.json.decode((written / "report.json").read_bytes(), type=ComparisonReport)
    write_report(report, str(tmp_path))
    for file in written.iterdir():
        assert (tmp_path / file.name).read_bytes() == file.read_bytes(), file.name


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a = run_folder(tmp_path / "a", solved(range(20), 40))
    b = run_folder(tmp_path / "b", solved(range(5), 40))
    words = [str(a), str(b), "flips=2", f"out={tmp_path / 'out'}", "gate=-0.02"]
    assert main(words) == 3
    said = capsys.readouterr()
    assert "is worse than" in said.out
    assert "−37.5 points" in said.out
    assert "and 13 more; out=DIR writes all" in said.out
    assert said.err.startswith("gate: ")
    assert (tmp_path / "out" / "report.md").exists()


def test_the_plan(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["plan=true", "tasks=500", "samples=4", "discordance=0.2", "difference=0.05"]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert "smallest difference that would be seen: 4.4 points" in said
    assert re.search(r"5\.0 points │ +89% │ +391", said)
