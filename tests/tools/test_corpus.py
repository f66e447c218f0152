"""`search=corpus`: an index of pages is made once, and gives the same pages in the same order."""

import asyncio
import bz2
import json
import sqlite3
from pathlib import Path

import pytest

from codeact.cli import main
from codeact.exceptions import ConfigError, ToolFailure
from codeact.tools.corpus import Corpus, Page, build_corpus
from codeact.tools.search import open_search
from codeact.tools.settings import NOTHING_FOUND, CorpusSearch

PAGES = [
    Page("Harbour of Lund", "The harbour has three lighthouses."),
    Page("Lighthouse", "A lighthouse guides ships. The keeper lives in it."),
    Page("Keeper", "Who keeps a thing."),
    Page("Élan", "Said of naïve ships."),
]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    path = tmp_path_factory.mktemp("corpus") / "mine.corpus"
    assert build_corpus([*PAGES, *PAGES], path) == len(PAGES)
    return Corpus(path)


@pytest.mark.parametrize(
    ("query", "titles"),
    [
        ("lighthouses", ["Lighthouse", "Harbour of Lund"]),
        ("What is the ELAN?", ["Élan"]),
        ("naive", ["Élan"]),
        ('"lighthouse" AND NEAR(keeper) -* title:x', ["Lighthouse", "Keeper", "Harbour of Lund"]),
        ("zebra", []),
        ("", []),
        ("?!\0", []),
        ("the who", ["Harbour of Lund", "Lighthouse", "Keeper"]),
    ],
)
def test_the_best_pages_come_first_whatever_the_query_is(
    corpus: Corpus, query: str, titles: list[str]
) -> None:
    found = [page.title for page in corpus.find(query)]
    assert sorted(found) == sorted(titles)
    assert found[:1] == titles[:1] or query.startswith("the")


def test_pages_of_equal_rank_stand_in_their_order(tmp_path: Path) -> None:
    pages = [Page(f"Ship {letter}", "It sails.") for letter in "dacb"]
    build_corpus(pages, tmp_path / "a.corpus")
    assert Corpus(tmp_path / "a.corpus").find("ship", 4) == pages


def test_very_long_queries_are_bounded(corpus: Corpus) -> None:
    assert corpus.find("lighthouse " + " ".join(map(str, range(200_000))))[0].title == "Lighthouse"


async def test_the_tool_renders_pages_and_is_safe_in_many_threads(corpus: Corpus) -> None:
    tool = open_search(CorpusSearch(path=str(corpus._path)))
    assert tool is not None
    answers = await asyncio.gather(*(tool.call("keeper") for _ in range(50)))
    assert set(answers) == {
        "Page: Keeper\nSummary: Who keeps a thing.\n\n"
        "Page: Lighthouse\nSummary: A lighthouse guides ships. The keeper lives in it."
    }
    assert await tool.call("zebra") == NOTHING_FOUND
    assert [file.name for file in corpus._path.parent.iterdir()] == ["mine.corpus"]


def test_what_is_no_index_is_refused_and_says_what_makes_one(tmp_path: Path) -> None:
    path = tmp_path / "mine.corpus"
    with pytest.raises(ConfigError, match=r"codeact prepare corpus=mine raw=PAGES out="):
        Corpus(path)
    path.write_text("pages")
    with pytest.raises(ConfigError, match="is no index of pages"):
        Corpus(path)
    path.unlink()
    sqlite3.connect(path).execute("CREATE TABLE page(id)").connection.close()
    with pytest.raises(ConfigError, match="in the format 1"):
        Corpus(path)


def test_a_damaged_index_is_the_tools_failure(tmp_path: Path) -> None:
    path = tmp_path / "a.corpus"
    build_corpus([Page(f"Ship {n}", f"It sails {n} times. " * 50) for n in range(200)], path)
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    path.write_bytes(content)
    with pytest.raises(ToolFailure, match="cannot be read"):
        Corpus(path).find("ship")


def test_the_command_reads_pages_questions_and_a_dump(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw = tmp_path / "raw"
    (raw / "AA").mkdir(parents=True)
    lines = [{"title": "One", "text": "A page."}, {"title": " ", "text": "x"}, {"other": 1}]
    (raw / "pages.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\nnot JSON\n")
    questions = [
        {"context": {"title": ["Two"], "sentences": [["It is ", "whole."]]}},
        {"context": [["Three", ["First. ", "Last."]]]},
    ]
    (raw / "dev.json").write_text(json.dumps(questions))
    dump = json.dumps({"id": 1, "title": "Four", "text": [["Of a "], ["dump."]]})
    (raw / "AA" / "wiki_00.bz2").write_bytes(bz2.compress(f"{dump}\n[]\n".encode()))
    assert main(["prepare", "corpus=mine", f"raw={raw}", f"out={tmp_path}/data"]) == 0
    said = capsys.readouterr()
    assert said.out.startswith(f"{tmp_path}/data/mine.corpus: 4 pages, ")
    assert len(said.err.splitlines()) == 4
    assert f"{raw}/pages.jsonl, line 3: has neither title and text" in said.err
    found = Corpus(tmp_path / "data" / "mine.corpus")
    assert found.find("whole") == [Page("Two", "It is whole.")]
    assert found.find("dump") == [Page("Four", "Of a dump.")]


def test_a_corpus_of_nothing_is_refused_and_nothing_written(tmp_path: Path) -> None:
    (tmp_path / "raw.jsonl").write_text('{"other": 1}\n')
    words = ["prepare", "corpus=mine", f"raw={tmp_path}/raw.jsonl", f"out={tmp_path}/data"]
    assert main(words) != 0
    assert not (tmp_path / "data").exists()
