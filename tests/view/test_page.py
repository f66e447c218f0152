"""The page in a real browser, and how it is built."""

import gzip
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from codeact.episode.effects import Outcome
from codeact.view.export import write_export
from codeact.view.runs import ViewedRuns
from codeact.view.server import PAGE, page_file
from tests.helpers.records import calling_record, reasoning_record
from tests.helpers.viewing import ViewServer, append, chromium, played, viewing, write_run

ROOT = Path(__file__).parents[2]
MOST_SCRIPT_BYTES = 200_000
OWNED = "window.owned=1"
MARKUP = (
    f"<script>{OWNED}</script><img src=x onerror={OWNED}><svg onload={OWNED}></svg>"
    f"<a href='javascript:{OWNED}'>x</a><iframe srcdoc='<script>parent.{OWNED}</script>'></iframe>"
    f'</pre><span class="hljs-string" onclick="{OWNED}" style="position:fixed">y</span>'
)
LINK = f"\x1b]8;;javascript:{OWNED}\x07click\x1b]8;;\x07"
UNSEEN = "left \u202edlrow\u202c right \0 end"
COLOURED = f"\x1b[31mred\x1b[0m plain {LINK}"
RIGHT = ("<solution>2</solution>", "")
TURNS = 10_000


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("runs")
    failed = Outcome(success=False, terminate_reason="error", cause="provider", error=MARKUP)
    episodes = [played(f"{n}", RIGHT, success=n % 3 == 0) for n in range(300)]
    said = "I count. <execute>total = sum(range(4))\nprint(total)</execute>"
    invented = f"{said}\nObservation:\n7\n"
    write_run(
        root / "a",
        played("read", (said, "6"), (invented, COLOURED), RIGHT, success=True, feedback="Go on."),
        *episodes,
        reasoning_record("reasons"),
        calling_record("calls"),
        played("down", outcome=failed),
    )
    parted = (said, "6"), ("I give up.", "I don't understand your input."), RIGHT
    write_run(root / "b", played("read", *parted, feedback="Go on."), *episodes[:100])
    evil = f"{MARKUP}<execute>{MARKUP}</execute>"
    shown = f"{MARKUP}{UNSEEN}{COLOURED}"
    write_run(
        root / "hostile",
        played(MARKUP, (evil, shown), (UNSEEN, ""), task=MARKUP, feedback=MARKUP, reference=MARKUP),
        played("line", ("<execute>x</execute>", "y" * (1 << 20))),
        played("long", *[("<execute>x</execute>", f"{n}") for n in range(TURNS)]),
    )
    return root


@pytest.fixture(scope="module")
def server(runs: Path) -> Iterator[ViewServer]:
    with viewing(runs) as found:
        yield found


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


class Tab:
    """A page that notes what its policy refused, what went wrong and what it asked for."""

    def __init__(self, browser: Any, **options: Any) -> None:
        self.context = browser.new_context(
            **{"viewport": {"width": 1280, "height": 800}, **options}
        )
        self.context.set_default_timeout(10_000)
        self.page = self.context.new_page()
        self.wrong: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", self._told)
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.add_init_script(
            "window.refused = []; addEventListener('securitypolicyviolation',"
            " (event) => refused.push(event.violatedDirective + ' ' + event.sample))"
        )

    def _told(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.wrong.append(message.text)

    def open(self, server: ViewServer, place: str = "") -> Any:
        """Go to a place of the page with the first address, as a person does."""
        self.page.goto(f"{server.address}#/{place}")
        return self.page

    def close(self, base: str) -> None:
        """Close it; nothing was refused or went wrong, and nothing outside was asked for."""
        refused = self.page.evaluate("window.refused")
        self.context.close()
        assert refused == []
        assert self.wrong == []
        outside = [url for url in self.asked if not url.startswith((base, "data:,", "blob:"))]
        assert outside == []


@pytest.fixture
def tab(browser: Any, server: ViewServer) -> Iterator[Tab]:
    found = Tab(browser)
    yield found
    found.close(server.base)


def text(page: Any, selector: str) -> str:
    return str(page.locator(selector).first.inner_text())


def test_a_list_of_any_length_shows_only_what_is_in_sight(tab: Tab, server: ViewServer) -> None:
    page = tab.open(server, "run/a")
    page.wait_for_selector(".line .name")
    assert text(page, ".summary").startswith("304 episodes")
    assert page.locator(".line").count() < 60
    page.keyboard.press("G")
    page.wait_for_selector(".line.current:has-text('down')")
    assert "provider failed" in text(page, ".line.current")
    assert "token" not in page.url


def test_an_episode_is_read_in_all_its_parts(tab: Tab, server: ViewServer) -> None:
    page = tab.open(server, "run/a")
    page.locator(".line", has_text="read").click()
    page.wait_for_selector(".turn")
    first = page.locator(".turn").nth(0)
    assert first.locator(".code .hljs-built_in").first.inner_text() == "sum"
    assert "6" in first.locator(".observed .block").inner_text()
    assert first.locator(".feedback").inner_text().endswith("Go on.")
    for fact in ("100 → 20", "model 1.5 s", "sandbox 250 ms", "$0.0010"):
        assert fact in first.locator("header").inner_text()
    second = page.locator(".turn").nth(1)
    assert "7" in second.locator(".invented").inner_text()
    assert first.locator(".invented").count() == 0
    assert second.locator(".ansi-red-fg").inner_text() == "red"
    assert page.locator(".turn").nth(2).locator(".badge").inner_text() == "correct"


def test_reasoning_is_folded_and_calls_show_their_code(tab: Tab, server: ViewServer) -> None:
    page = tab.open(server, "run/a?q=%22Both+at+once%22")
    page.locator(".line").click()
    thought = page.locator(".reasoning .block").first
    assert not thought.is_visible()
    page.locator(".reasoning summary").first.click()
    assert thought.inner_text() == "Both at once."
    assert page.locator(".turn .call .block.python").first.inner_text() == "1 + 1"


def test_filters_and_search_narrow_the_list_and_are_in_the_address(
    tab: Tab, server: ViewServer
) -> None:
    page = tab.open(server, "run/a")
    page.select_option("select[aria-label='Filter by result']", "error")
    page.wait_for_selector(".summary:has-text('1 episode of 304')")
    assert "result=error" in page.url
    page.select_option("select[aria-label='Filter by result']", "")
    page.fill("#search", "I count")
    page.wait_for_selector(".summary:has-text('1 episode of 304')")
    page.reload()
    page.wait_for_selector(".summary:has-text('1 episode of 304')")
    page.fill("#search", "nothing has this word")
    page.get_by_role("button", name="Show all episodes").click()
    page.wait_for_selector(".summary:has-text('304 episodes')")


def test_a_deep_link_opens_its_turn(tab: Tab, server: ViewServer) -> None:
    page = tab.open(server, "run/a?key=gsm8k%2Fread%2Fs%2F0&turn=2")
    page.wait_for_selector(".turn.marked:has-text('Turn 2')")
    top = page.locator(".turn.marked").bounding_box()
    assert top is not None
    assert 0 <= top["y"] < 400


def test_the_keyboard_alone_is_enough(tab: Tab, server: ViewServer) -> None:
    page = tab.open(server)
    press = page.keyboard.press
    page.wait_for_selector(".runs table")
    press("Enter")
    page.wait_for_selector(".line .name")
    press("j")
    page.wait_for_selector(".turn")
    press("j")
    page.wait_for_selector("#row-1.current")
    press("k")
    page.wait_for_selector("#row-0.current")
    press("Enter")
    page.wait_for_selector(".reader:focus")
    press("j")
    press("j")
    page.wait_for_selector(".turn.marked:has-text('Turn 2')")
    press("x")
    page.wait_for_selector(".chosen:has-text('1 episode chosen')")
    press("Escape")
    page.wait_for_selector("[role=listbox]:focus")
    press("/")
    page.keyboard.type("NameError")
    page.wait_for_selector(".summary:has-text('1 episode of')")
    press("Enter")
    page.wait_for_selector(".turn .call")
    press("?")
    page.wait_for_selector("dialog[open]")
    press("Escape")
    page.wait_for_selector("dialog", state="detached")
    theme = "document.documentElement.dataset.theme"
    before = page.evaluate(theme)
    press("t")
    assert page.evaluate(theme) != before
    for _ in range(3):
        press("Escape")
    page.wait_for_selector(".runs table")


def test_two_runs_side_by_side_show_where_they_part(tab: Tab, server: ViewServer) -> None:
    page = tab.open(server)
    page.get_by_label("Mark a").check()
    page.get_by_label("Mark b").check()
    page.get_by_role("button", name="Compare a with b").click()
    page.wait_for_selector(".line .name")
    counts = [page.locator(f".flip.{one} b").inner_text() for one in ("won", "lost", "both")]
    assert counts == ["0", "1", "34"]
    page.locator(".flip.lost").click()
    page.locator(".line", has_text="solved by A alone").click()
    page.wait_for_selector(".pair")
    page.keyboard.press("d")
    parting = page.locator(".parting")
    assert parting.inner_text() == "Here they act differently"
    assert parting.locator("xpath=..").get_attribute("data-index") == "2"
    left, right = page.locator(".passage[data-index='2'] .turn").all()
    assert "total" in left.inner_text()
    assert "I give up." in right.inner_text()
    address = page.url
    page.goto(server.base)
    page.goto(address)
    page.wait_for_selector(".parting")


def test_a_live_run_is_followed(tab: Tab, server: ViewServer, runs: Path) -> None:
    page = tab.open(server, "run/b")
    page.wait_for_selector(".summary:has-text('101 episodes')")
    page.select_option("select[aria-label='Order']", "-recorded")
    append(runs / "b", played("fresh", RIGHT))
    page.wait_for_selector(".summary:has-text('102 episodes')")
    page.wait_for_selector("#row-0:has-text('fresh')")
    assert page.locator("#row-0").count() == 1


def test_chosen_episodes_are_downloaded_as_conversations(tab: Tab, server: ViewServer) -> None:
    page = tab.open(server, "run/a?q=%22I+count%22")
    page.locator(".line").click()
    page.keyboard.press("x")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download conversations").click()
    written = Path(download.value.path()).read_text()
    assert written.count("\n") == 1
    assert "sum(range(4))" in written


@pytest.mark.parametrize("view", ["run/hostile?", "compare?a=hostile&b=hostile&digest="])
def test_what_a_model_wrote_is_never_markup(tab: Tab, server: ViewServer, view: str) -> None:
    page = tab.open(server, view)
    page.locator(".line").first.click()
    page.wait_for_selector(".turn")
    page.wait_for_selector(".unseen")
    for summary in page.locator("details > summary").all():
        summary.click()
    inside = "script, img, svg, iframe, [onclick], [onerror], a:not([href^='#'])"
    assert page.locator(f"#app :is({inside})").count() == 0
    assert page.evaluate("[window.owned, document.scripts.length]") == [None, 1]
    assert MARKUP in text(page, ".code .block")
    assert page.locator(".hljs-string[style]").count() == 0
    unseen = page.locator(".unseen").all_inner_texts()
    assert {"U+202E", "U+202C", "\u2400"} <= set(unseen)
    assert "click" in text(page, ".observed .block.terminal")


def test_a_line_of_a_megabyte_is_shown_in_part_first(tab: Tab, server: ViewServer) -> None:
    page = tab.open(server, "run/hostile")
    page.locator(".line").nth(1).click()
    more = page.get_by_role("button", name="Show all 1,048,576 characters")
    more.wait_for()
    assert len(text(page, ".observed .block")) <= 20_000
    more.click()
    more.wait_for(state="detached")
    assert page.evaluate("document.querySelector('.observed .block').textContent.length") == 1 << 20
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_ten_thousand_turns_can_be_read_to_the_end(tab: Tab, server: ViewServer) -> None:
    page = tab.open(server, "run/hostile")
    page.locator(".line").nth(2).click()
    page.wait_for_selector(".turn")
    assert page.locator(".turn").count() < 30
    page.keyboard.press("Enter")
    page.wait_for_selector(".reader:focus")
    page.keyboard.press("G")
    page.wait_for_selector(f".turn:has-text('Turn {TURNS}')")
    page.wait_for_selector(".end")


def test_an_empty_folder_says_what_to_do(browser: Any, tmp_path: Path) -> None:
    with viewing(tmp_path) as server:
        tab = Tab(browser)
        page = tab.open(server)
        page.wait_for_selector(".hint")
        assert "codeact run" in text(page, ".hint")
        write_run(tmp_path / "new", played("1", RIGHT))
        page.wait_for_selector(".line .name")
        tab.close(server.base)


def test_an_export_opens_from_disk(browser: Any, runs: Path, tmp_path: Path) -> None:
    shown = ViewedRuns([str(runs)])
    shown.refresh()
    assert write_export(shown, tmp_path / "out") >= 400
    shown.close()
    tab = Tab(browser)
    page = tab.page
    page.goto(f"file://{tmp_path}/out/index.html")
    page.wait_for_selector(".runs table")
    page.keyboard.press("Enter")
    page.wait_for_selector(".line .name")
    page.fill("#search", "I count")
    page.wait_for_selector(".summary:has-text('1 episode of')")
    page.locator(".line").click()
    page.wait_for_selector(".invented")
    assert page.locator(".code .hljs-built_in").count() > 0
    page.goto(f"file://{tmp_path}/out/index.html#/run/hostile")
    page.locator(".line").first.click()
    page.wait_for_selector(".unseen")
    assert page.evaluate("[window.owned]") == [None]
    page.goto(f"file://{tmp_path}/out/index.html#/compare?a=a&b=b&only=lost")
    page.locator(".line").first.click()
    page.wait_for_selector(".pair")
    page.keyboard.press("d")
    assert text(page, ".parting") == "Here they act differently"
    tab.close("file://")


# How it is built


def test_the_page_is_small() -> None:
    assert len(gzip.compress(page_file("app.js"), 9)) <= MOST_SCRIPT_BYTES
    assert len(page_file("app.js")) > 10_000
    sources = [*(ROOT / "view" / "src").glob("*.ts*")]
    assert len(sources) > 10
    for file in sources:
        assert not re.search(
            r"innerHTML|\beval\(|new Function|document\.write", file.read_text()
        ), file


def test_the_lock_file_names_no_registry() -> None:
    lock = (ROOT / "view" / "package-lock.json").read_text()
    assert '"resolved"' not in lock
    assert lock.count('"integrity"') > 20


NO_NETWORK = ("ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ETIMEDOUT", "ENOTCACHED", "ENETUNREACH")


@pytest.fixture(scope="module")
def front_end(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the page is built from, with the packages of its lock file."""
    if shutil.which("npm") is None:
        pytest.skip("no npm: apt-get install npm")
    folder = tmp_path_factory.mktemp("front_end") / "view"
    shutil.copytree(ROOT / "view", folder, ignore=shutil.ignore_patterns("node_modules"))
    words = ["npm", "ci", "--prefer-offline", "--no-progress"]
    done = subprocess.run(
        words, cwd=folder, capture_output=True, text=True, check=False, timeout=240
    )
    if done.returncode and any(one in done.stderr for one in NO_NETWORK):
        pytest.skip(f"npm reaches no registry: {done.stderr[-200:]}")
    assert done.returncode == 0, done.stderr
    return folder


def test_what_is_committed_is_what_is_built(front_end: Path, tmp_path: Path) -> None:
    words = ["npx", "--no-install", "vite", "build", "--outDir", str(tmp_path / "page")]
    check = ["npx", "--no-install", "tsc", "--noEmit"]
    with subprocess.Popen(check, cwd=front_end, stdout=subprocess.PIPE, text=True) as types:
        done = subprocess.run(
            words, cwd=front_end, capture_output=True, text=True, check=False, timeout=120
        )
        said, _ = types.communicate(timeout=120)
    assert (types.returncode, said) == (0, "")
    assert done.returncode == 0, done.stderr
    built = {file.name: file.read_bytes() for file in (tmp_path / "page").iterdir()}
    assert sorted(built) == sorted(PAGE)
    assert [name for name in PAGE if built[name] != page_file(name)] == []


PLACES = {
    "": ".runs table",
    "run/a?key=gsm8k%2Fread%2Fs%2F0": ".turn",
    "compare?a=a&b=b&digest=digest-gsm8k-read": ".pair .turn",
    "run/hostile": ".line .name",
}


@pytest.mark.parametrize(("theme", "width"), [("light", 1280), ("dark", 390)])
def test_axe_finds_no_serious_fault(
    browser: Any, server: ViewServer, front_end: Path, theme: str, width: int
) -> None:
    axe = (front_end / "node_modules" / "axe-core" / "axe.min.js").read_text(encoding="utf-8")
    tab = Tab(browser, color_scheme=theme, viewport={"width": width, "height": 800})
    page = tab.open(server)
    page.wait_for_selector(".runs table")
    page.evaluate(axe)
    found = []
    for place, shown in PLACES.items():
        page.evaluate(f"location.hash = '#/{place}'")
        page.wait_for_selector(shown)
        result = page.evaluate("axe.run(document)")
        assert len(result["passes"]) > 15
        for one in result["violations"]:
            if one["impact"] in ("serious", "critical"):
                first = one["nodes"][0]
                found.append(f"{place}: {one['id']}: {first['html']}: {first['failureSummary']}")
    tab.context.close()
    assert found == []
