"""`wikipedia_search` from files: our encyclopaedia and recorded answers."""

import gzip
import json
from pathlib import Path

import pytest

from codeact.episode.task import Task
from codeact.exceptions import ConfigError
from codeact.tools import open_toolbox
from codeact.tools.settings import (
    NOTHING_FOUND,
    NoSearch,
    PageSearch,
    RecordedSearch,
)

TASK = Task(name="t", id="0", prompt="p", reference="r", tools=("wikipedia_search",))
PAGES = "pkg://codeact.sample/encyclopaedia.jsonl"


async def test_the_page_that_is_named_comes_first() -> None:
    search = open_toolbox(PageSearch(path=PAGES)).calls(TASK)["wikipedia_search"]
    assert (await search("Kettle Bridge")).startswith("Page: Kettle Bridge\nSummary: ")
    assert await search("zzz qqq") == NOTHING_FOUND
    assert await search("") == NOTHING_FOUND


async def test_recorded_answers_are_given_back_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "answers.jsonl.gz"
    file.write_bytes(gzip.compress(json.dumps({"query": "a", "result": "b", "n": 1}).encode()))
    search = open_toolbox(RecordedSearch(path=str(file))).calls(TASK)["wikipedia_search"]
    assert await search("a") == "b"
    with pytest.raises(LookupError, match="no recorded answer"):
        await search("c")


async def test_a_wrong_call_names_the_tool_that_was_shown() -> None:
    search = open_toolbox(PageSearch(path=PAGES)).calls(TASK)["wikipedia_search"]
    with pytest.raises(TypeError, match=r"wikipedia_search\(\) takes"):
        await search("a", "b")
    with pytest.raises(TypeError, match="has to be text, not int"):
        await search(3)


def test_a_run_without_search_offers_none() -> None:
    tools = open_toolbox(NoSearch())
    assert tools.specs(TASK) == ()
    assert tools.calls(TASK) == {}


@pytest.mark.parametrize("text", ["not json", '{"title": "only"}', '{"title": 1, "text": "x"}'])
def test_a_broken_page_is_refused_with_its_line(tmp_path: Path, text: str) -> None:
    file = tmp_path / "pages.jsonl"
    file.write_text('{"title": "a", "text": "b"}\n' + text + "\n")
    with pytest.raises(ConfigError, match=r"pages\.jsonl, line 2"):
        open_toolbox(PageSearch(path=str(file)))
