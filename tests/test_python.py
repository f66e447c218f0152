"""What Python users get is what the commands write, lazily, typed, and safe to look at."""

import importlib
import inspect
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pandas as pd
import pytest

import codeact
from codeact.episode.messages import ToolCall
from codeact.episode.record import EpisodeRecord, encode
from codeact.exceptions import CodeactError, ConfigError, RecordingError
from codeact.recordings.run_folder import EPISODES, SUMMARY, latest_records
from codeact.results.notebook import transcript_html
from codeact.results.opened import EPISODE_TYPES, TEXT_TYPES, TURN_TYPES
from tests.helpers.documents import ROOT, blocks
from tests.helpers.records import calling_record, make_record, reasoning_record

PAGE = ROOT / "docs" / "python.md"
NOTEBOOK = ROOT / "examples" / "results.ipynb"


@pytest.fixture(scope="module")
def page(
    tmp_path_factory: pytest.TempPathFactory, local_sandbox: None
) -> Iterator[dict[str, object]]:
    """What the names of docs/python.md stand for, once its examples have run one after another."""
    names: dict[str, object] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("page"))
        for block in blocks(PAGE):
            exec(compile(block.text, f"{PAGE}:{block.line}", "exec"), names)
        yield names


def played(page: dict[str, object]) -> codeact.Run:
    run = page["run"]
    assert isinstance(run, codeact.Run)
    return run


def test_a_run_is_what_the_command_writes(page: dict[str, object]) -> None:
    run = played(page)
    document = json.loads((run.path / SUMMARY).read_text())
    assert json.loads(run.summary.to_json()) == document
    assert len(run) == document["overall"]["episodes"] == 8
    assert f"8 episodes, {document['overall']['successes']} solved" in repr(run)
    assert len(page["slow"]) == 2  # type: ignore[arg-type]
    assert len(page["rows"]) == 8  # type: ignore[arg-type]


async def test_a_run_goes_on_in_the_loop_that_is_running(page: dict[str, object]) -> None:
    run = played(page)
    before = (run.path / EPISODES).read_bytes()
    again = await codeact.arun("model=recorded", "task=sample", "limit=1", f"run_dir={run.path}")
    assert again.summary.document() == run.summary.document()
    assert (run.path / EPISODES).read_bytes() == before


async def test_a_notebook_is_no_place_to_stop_at(tmp_path: Path, local_sandbox: None) -> None:
    """Where a loop is running, a run is played in a thread, whose errors come back as well."""
    with pytest.raises(CodeactError, match="is not there"):
        codeact.run("model=scripted", "task=gsm8k", f"run_dir={tmp_path}", f"data={tmp_path}/no")


def test_what_is_left_is_told(tmp_path: Path, local_sandbox: None) -> None:
    words = ("model=recorded", "task=gsm8k", "data=pkg://codeact.sample/tasks", "limit=1")
    with pytest.warns(UserWarning, match="episodes that are left: 1;"):
        run = codeact.run(*words, "tracker=none", "budget.tokens=1", f"run_dir={tmp_path / 'run'}")
    assert len(run) == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-m", "samples=1,2"], "one run"),
        (["--help"], "one run"),
        (["dry_run=true"], "leave dry_run"),
        (["samples=0"], "samples"),
        (["nothing"], "no override"),
    ],
)
def test_words_that_play_no_run_are_refused(words: list[str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        codeact.run(*words)


def test_what_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(codeact.CodeactError, match="there is no such file or folder"):
        codeact.open(tmp_path / "nothing")


@pytest.fixture
def recorded(tmp_path: Path) -> codeact.Run:
    broken = make_record("3", cause="provider")
    records = [reasoning_record("1"), calling_record("2"), broken, make_record("4", success=False)]
    other = msgspec.structs.replace(make_record("5"), task_name="math", id="math/5/s/0")
    records.append(msgspec.structs.replace(other, cost=0.5, seconds=2.0, edited=1, session=3))
    write(tmp_path, *records)
    return codeact.open(tmp_path)


def write(folder: Path, *records: EpisodeRecord) -> None:
    with (folder / EPISODES).open("ab") as file:
        file.write(b"".join(encode(record) + b"\n" for record in records))


def test_episodes_are_chosen_and_read_one_by_one(recorded: codeact.Run) -> None:
    records = {record.task_id: record for record in latest_records(recorded.path)}

    def ids(**asked: object) -> list[str]:
        return [episode.row.task_id for episode in recorded.episodes(**asked)]  # type: ignore[arg-type]

    assert ids() == ["1", "2", "3", "4", "5"]
    assert ids(task="gsm8k", success=False) == ["3", "4"]
    assert ids(task=["math", "gsm8k"], sort=["-task_id"], limit=2) == ["5", "4"]
    assert ids(turns=codeact.Between(2), cause=None) == ["1", "2"]
    assert ids(text="NameError") == ["2"]
    episodes = recorded.episodes()
    assert [one.record for one in episodes] == [records[one.row.task_id] for one in episodes]
    assert [one.key for one in episodes[1:3]] == [episodes[1].key, episodes[2].key]
    assert recorded.episode(episodes[-1].key).record == records["5"]
    with pytest.raises(RecordingError, match="holds no episode"):
        recorded.episode("nobody")
    with pytest.raises(ConfigError, match="there is no column 'sucess'"):
        recorded.episodes(sucess=True)


def test_no_record_is_read_before_it_is_used(recorded: codeact.Run) -> None:
    episodes = recorded.episodes(success=True)
    assert len(episodes) == 3
    content = (recorded.path / EPISODES).read_bytes()
    (recorded.path / EPISODES).write_bytes(b" " * len(content))
    assert [one.success for one in episodes] == [True] * 3
    with pytest.raises(RecordingError):
        assert episodes[0].record


def test_a_frame_has_a_row_an_episode_and_the_dtypes_that_are_stated(
    recorded: codeact.Run,
) -> None:
    frame = recorded.frame()
    kinds = {name: str(kind) for name, kind in frame.dtypes.items()}
    assert kinds == {**EPISODE_TYPES, "own_success": "boolean"} == stated("`key`, `file`")
    assert frame["own_success"].tolist() == [True, True, pd.NA, False, pd.NA]
    assert frame["cost"].isna().tolist() == [True, True, True, True, False]
    assert frame["session"].tolist() == [pd.NA] * 4 + [3]
    assert frame["prompt"].tolist() == [r.usage.prompt for r in latest_records(recorded.path)]
    assert recorded.frame({"success": False})["task_id"].tolist() == ["3", "4"]


def test_turns_have_a_row_each(recorded: codeact.Run) -> None:
    records = latest_records(recorded.path)
    for texts in (False, True):
        turns = recorded.turns(texts=texts)
        assert {name: str(kind) for name, kind in turns.dtypes.items()} == (
            TURN_TYPES | TEXT_TYPES if texts else TURN_TYPES
        )
        assert turns["turn"].tolist() == [
            number for record in records for number, _ in enumerate(record.turns, 1)
        ]
        assert turns["completion"].sum() == sum(record.usage.completion for record in records)
    assert turns["content"].tolist() == [turn.content for one in records for turn in one.turns]
    assert stated("`key`, `task_name`") == TURN_TYPES | TEXT_TYPES


def stated(first: str) -> dict[str, str]:
    """The dtypes in the table of docs/python.md whose first column begins so."""
    text = PAGE.read_text(encoding="utf-8")
    table = text[text.index(f"| {first}") :].partition("\n\n")[0]
    rows = re.findall(r"^\| (.*?) \| `(\w+)` \|$", table, re.MULTILINE)
    return {name: kind for names, kind in rows for name in re.findall(r"`([a-z_]+)`", names)}


def test_a_live_run_is_followed(recorded: codeact.Run) -> None:
    assert recorded.summary.overall.episodes == 5
    write(recorded.path, make_record("6"), make_record("3"))
    assert recorded.summary.overall.episodes == len(recorded.frame()) == 6
    assert recorded.summary.overall.causes == {}
    assert [one.success for one in recorded.episodes(task_id="3")] == [True]


def test_empty_runs_have_empty_frames(tmp_path: Path) -> None:
    (tmp_path / EPISODES).touch()
    run = codeact.open(tmp_path)
    assert (len(run.frame()), len(run.turns()), len(run.turns(texts=True))) == (0, 0, 0)
    assert "<table>" in run._repr_html_()


HOSTILE = (
    "<script>alert(1)</script><img src=x onerror=alert(1)>[a](javascript:alert(1))"
    "</pre></div><iframe srcdoc='<b>'>\x1b[31mred\x00\u202egnp.exe\u200b&lt;"
)
ELEMENTS = {"div", "p", "b", "pre", "details", "summary"}


class Seen(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: set[str] = set()
        self.attributes: set[tuple[str, str | None]] = set()
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.add(tag)
        self.attributes |= set(attrs)

    def handle_data(self, data: str) -> None:
        self.text += data


def hostile() -> EpisodeRecord:
    record = calling_record()
    record.model = record.task_id = record.turn_setting = HOSTILE
    record.outcome = msgspec.structs.replace(record.outcome, cause="model", error=HOSTILE)
    for message in record.messages:
        message["content"] = message["reasoning"] = HOSTILE
        for call in message.get("tool_calls", ()):
            call.update(ToolCall(id=HOSTILE, name=HOSTILE, arguments=HOSTILE))
    return record


def test_a_transcript_shows_hostile_text_as_text() -> None:
    seen = Seen(transcript_html(hostile()))
    assert seen.elements <= ELEMENTS
    assert {name for name, _ in seen.attributes} <= {"style"}
    assert "<script>alert(1)</script>" in seen.text
    assert not re.search("[\x00\x1b\u202e\u200b]", seen.text)
    assert "⟨U+202E⟩gnp.exe⟨U+200B⟩" in seen.text


def test_a_table_shows_hostile_names_as_text(tmp_path: Path) -> None:
    write(tmp_path, msgspec.structs.replace(make_record(), task_name=HOSTILE))
    seen = Seen(codeact.open(tmp_path)._repr_html_())
    assert "script" not in seen.elements | {name for name, _ in seen.attributes}
    assert "<script>alert(1)</script>" in seen.text


def test_a_huge_transcript_is_bounded() -> None:
    record = reasoning_record()
    record.messages[1]["content"] = "x" * (1 << 20)
    record.messages += [{"role": "user", "content": "more"}] * 10_000
    shown = transcript_html(record)
    assert len(shown) < 100_000
    assert "more characters" in shown and "more messages" in shown


def test_a_transcript_tells_of_each_turn() -> None:
    text = Seen(transcript_html(reasoning_record())).text
    assert "turn 1: execute" in text and "turn 2: propose · right" in text
    assert "I add." in text and "Out[1]: 2" in text and text.startswith("solved")


def test_runs_are_compared_as_the_command_does(tmp_path: Path) -> None:
    for name, solved in (("a", (True, False)), ("b", (True, True))):
        (tmp_path / name).mkdir()
        records = [make_record(str(n), success=one) for n, one in enumerate(solved)]
        write(tmp_path / name, *records)
    found = codeact.compare(codeact.open(tmp_path / "a"), codeact.open(tmp_path / "b"))
    assert found.table["difference"].tolist() == [0.5]
    assert found.table["pairs"].tolist() == [2]


def test_importing_codeact_imports_nothing_else() -> None:
    program = (
        "import sys\nbefore = set(sys.modules)\nimport codeact\n"
        "codeact.__all__, dir(codeact)\n"
        "print({name.partition('.')[0] for name in set(sys.modules) - before} & "
        "{'msgspec', 'pydantic', 'hydra', 'pandas', 'numpy', 'sqlite3', 'rich', 'asyncio'})\n"
        "try:\n    codeact.nothing\nexcept AttributeError as error:\n    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == ["set()", "module 'codeact' has no attribute 'nothing'"]


@pytest.mark.parametrize("name", codeact.__all__)
def test_every_public_name_is_typed_and_told_of(name: str) -> None:
    found = getattr(codeact, name)
    assert inspect.getdoc(found)
    assert re.search(rf"^\| `{name}[(`]", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    members = [found] if not inspect.isclass(found) else list(vars(found).values())
    for one in members:
        function = one.fget if isinstance(one, property) else one
        if inspect.isfunction(function) and function.__module__.startswith("codeact"):
            parameters = inspect.signature(function).parameters.values()
            untyped = [p.name for p in parameters if p.annotation is p.empty and p.name != "self"]
            assert untyped == [], function.__qualname__
            assert "return" in function.__annotations__, function.__qualname__
            is_public = not function.__name__.startswith("_")
            assert not is_public or function.__doc__, function.__qualname__


def test_public_names_are_where_they_are_said_to_be() -> None:
    assert set(codeact._HOMES) == set(codeact.__all__)
    stub = (ROOT / "codeact" / "__init__.pyi").read_text(encoding="utf-8")
    imported = re.findall(r"^from codeact\.(.*) import (\w+) as \2\b", stub, re.MULTILINE)
    assert {name: home for home, name in imported} == codeact._HOMES
    for name, home in codeact._HOMES.items():
        assert getattr(importlib.import_module(f"codeact.{home}"), name) is getattr(codeact, name)
    assert issubclass(RecordingError, CodeactError)


def test_the_notebook_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, local_sandbox: None
) -> None:
    import nbformat
    from nbclient import NotebookClient

    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert all(not cell.get("outputs") for cell in notebook.cells)
    done = NotebookClient(
        notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    shown = [
        output["data"]
        for cell in done.cells
        for output in cell.get("outputs", ())
        if "data" in output
    ]
    assert any("<table>" in one.get("text/html", "") for one in shown)
    assert any("turn 1: " in one.get("text/html", "") for one in shown)
