"""Serves the page of ``codeact view`` for tests, and opens it in Debian's Chromium."""

import asyncio
import shutil
import threading
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from codeact.collection.settings import ConversionSettings
from codeact.episode.effects import Counts, Outcome, Turn, Usage
from codeact.episode.messages import Message
from codeact.episode.record import VERSION, EpisodeRecord, encode
from codeact.experiment.config.compose import Invocation, compose_config
from codeact.experiment.config.validation import validated
from codeact.view.runs import ViewedRuns
from codeact.view.server import serving
from codeact.view.settings import ViewConfig

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


def conversion() -> ConversionSettings:
    """How the command converts chosen episodes, unless told otherwise."""
    return validated(ViewConfig, compose_config(Invocation("view"))).selection.conversion


class ViewServer:
    """The page's server in a thread; `address` has the token, `base` has not."""

    def __init__(self, *sources: Path) -> None:
        self.runs = ViewedRuns([*map(str, sources)])
        self.runs.refresh()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._stack = AsyncExitStack()

    def start(self) -> None:
        self._thread.start()
        serve = self._stack.enter_async_context(serving(self.runs, conversion(), 0))
        self.address = asyncio.run_coroutine_threadsafe(serve, self._loop).result(30)
        parts = urlsplit(self.address)
        self.base = f"{parts.scheme}://{parts.netloc}/"
        self.token = parse_qs(parts.query)["token"][0]

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self._stack.aclose(), self._loop).result(30)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()
        self.runs.close()


@contextmanager
def viewing(*sources: Path) -> Iterator[ViewServer]:
    """Serve while the context is open."""
    server = ViewServer(*sources)
    server.start()
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def chromium() -> Iterator[Any]:
    """Debian's Chromium, without a window; skips where there is none."""
    if CHROMIUM is None:
        pytest.skip("no Chromium: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


def played(
    task_id: str,
    *turns: tuple[str, str],
    task_name: str = "gsm8k",
    success: bool = False,
    sample: int = 0,
    task: str = "Add 1 and 1.",
    feedback: str | None = None,
    **fields: Any,
) -> EpisodeRecord:
    """A record whose `turns` are what the policy wrote, and what the environment showed."""
    messages: list[Message] = [
        {"role": "user", "content": f"Be brief.\n\n---\n\nTask:\n{task}\n"},
    ]
    done: list[Turn] = []
    for number, (text, observation) in enumerate(turns):
        solution = "<solution>" in text
        code = "<execute>" in text
        content = text.partition(">")[2].partition("</")[0].strip() if solution or code else ""
        done.append(
            Turn(
                action="propose" if solution else "execute" if code else "invalid",
                content=content,
                message=len(messages),
                observation=observation,
                status="ok" if code else None,
                correct=(success and number == len(turns) - 1) if solution else None,
                feedback=feedback,
                usage=Usage(100 + number, 20),
                seconds={"model": 1.5, "sandbox": 0.25},
                cost=0.001,
            )
        )
        messages.append({"role": "assistant", "content": f"Assistant:\n{text}\n"})
        messages.append({"role": "user", "content": f"Observation:\n{observation}\n"})
    given: dict[str, Any] = {
        "outcome": Outcome(
            success=success, terminate_reason="task_success" if success else "max_steps"
        ),
        **fields,
    }
    return EpisodeRecord(
        id=f"{task_name}/{task_id}/s/{sample}",
        task_name=task_name,
        task_id=task_id,
        task_digest=f"digest-{task_name}-{task_id}",
        settings_digest="s",
        sample=sample,
        model="m",
        turn_setting="max5_p2+tool+cd",
        feedback="none",
        version=VERSION,
        messages=messages,
        turns=done,
        counts=Counts(use_tool=len(done)),
        usage=Usage(100 * len(done), 20 * len(done)),
        seconds=2.0,
        cost=0.001 * len(done),
        **given,
    )


def write_run(folder: Path, *records: EpisodeRecord) -> Path:
    """A run folder with these records, as far as a reader needs one."""
    folder.mkdir(parents=True, exist_ok=True)
    append(folder, *records)
    return folder


def append(folder: Path, *records: EpisodeRecord) -> None:
    with (folder / "episodes.jsonl").open("ab") as file:
        file.write(b"".join(encode(record) + b"\n" for record in records))
