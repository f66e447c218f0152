"""How quickly and how well a corpus is searched: ours (SQLite FTS5) beside the package bm25s.

    python benchmarks/search.py HOTPOTQA_FILE [--pages 100000] [--rounds 3]

The file has HotpotQA's questions with their paragraphs, in the hub's layout. The paragraphs are
searched among others, made (with a seed) of sentences of those that support no question. A hit is a
question with one of its two supporting titles among the first five pages, `both` one with both.
Each question is asked of one index after the other, so that a busy machine is so for both. Without
bm25s only ours is measured.
"""

# ruff: noqa: D103 (a program, not a library; a seeded draw, no secret)

import argparse
import contextlib
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from codeact.tools.corpus import Corpus, Page, build_corpus

SHOWN = 5
Search = Callable[[str], list[str]]


class Question(NamedTuple):
    """A question, and the titles that support its answer."""

    text: str
    titles: frozenset[str]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--pages", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    questions, pages = read(given.file, given.pages)
    with tempfile.TemporaryDirectory() as folder:
        searches: dict[str, Search] = {"SQLite FTS5": ours(pages, Path(folder) / "a.corpus")}
        with contextlib.suppress(ImportError):
            searches["bm25s"] = bm25s_index(pages, Path(folder) / "bm25s")
        compare(searches, questions, given.rounds)


def read(file: Path, count: int) -> tuple[list[Question], list[Page]]:
    records = json.loads(file.read_text(encoding="utf-8"))
    questions, found = [], {}
    for record in records:
        context = record["context"]
        found |= dict(zip(context["title"], context["sentences"], strict=True))
        titles = frozenset(record["supporting_facts"]["title"])
        questions.append(Question(record["question"], titles))
    supporting = frozenset().union(*(question.titles for question in questions))
    others = [title for title in found if title not in supporting]
    sentences = [one.strip() for title in others for one in found[title]]
    pages = [Page(title, "".join(text).strip()) for title, text in found.items()]
    draw = random.Random(1)
    while len(pages) < count:
        title = [word for one in draw.sample(others, 2) for word in one.split()[:2]]
        text = " ".join(draw.sample(sentences, draw.randint(2, 6)))
        pages.append(Page(" ".join(title), text))
    draw.shuffle(pages)
    return questions, pages


def ours(pages: list[Page], path: Path) -> Search:
    began = time.perf_counter()
    build_corpus(pages, path)
    tell("SQLite FTS5", time.perf_counter() - began, path.stat().st_size)
    corpus = Corpus(path)
    return lambda query: [page.title for page in corpus.find(query, SHOWN)]


def bm25s_index(pages: list[Page], folder: Path) -> Search:
    import bm25s

    def tokens(texts: list[str], *, ids: bool) -> Any:
        return bm25s.tokenize(texts, stopwords="en", show_progress=False, return_ids=ids)

    began = time.perf_counter()
    made = bm25s.BM25()
    made.index(tokens([f"{page.title} {page.text}" for page in pages], ids=True), False)
    made.save(folder, corpus=[page._asdict() for page in pages], show_progress=False)
    size = sum(file.stat().st_size for file in folder.iterdir())
    tell("bm25s", time.perf_counter() - began, size)
    index = bm25s.BM25.load(folder, mmap=True, load_corpus=True)

    def search(query: str) -> list[str]:
        (found,), _ = index.retrieve(tokens([query], ids=False), k=SHOWN, show_progress=False)
        return [one["title"] for one in found]

    return search


def tell(name: str, seconds: float, size: int) -> None:
    sys.stdout.write(f"{name}: built in {seconds:.1f} s, {size / 1e6:.1f} MB\n")


def compare(searches: dict[str, Search], questions: list[Question], rounds: int) -> None:
    took: dict[str, list[float]] = {name: [] for name in searches}
    hits: dict[str, list[tuple[bool, bool]]] = {name: [] for name in searches}
    for turn in range(rounds):
        for question in questions:
            for name, search in searches.items():
                began = time.perf_counter()
                titles = frozenset(search(question.text))
                took[name].append(time.perf_counter() - began)
                if turn == 0:
                    hits[name].append((bool(titles & question.titles), titles >= question.titles))
    for name, times in took.items():
        times.sort()
        middle, late = times[len(times) // 2], times[len(times) * 99 // 100]
        one, both = (sum(hit[i] for hit in hits[name]) / len(questions) for i in (0, 1))
        sys.stdout.write(
            f"{name}: {len(times) / sum(times):.1f} queries/s, p50 {middle * 1e3:.1f} ms, "
            f"p99 {late * 1e3:.1f} ms, hit@{SHOWN} {one:.0%}, both {both:.0%}\n"
        )


if __name__ == "__main__":
    main()
