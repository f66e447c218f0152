"""``codeact prepare task=codeact_instruct``: all training sets, fetched and made by one command."""

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from codeact.cli import main
from codeact.datasets import get, load_tasks
from codeact.datasets.math.solutions import answer_in
from codeact.datasets.preparing import fetching
from codeact.datasets.preparing.collections import COLLECTIONS
from codeact.experiment.config.compose import Invocation, compose_config
from tests.helpers.file_server import FileServer, Served, file_server
from tests.helpers.raw_samples import TASKS, raw_files

SETS = compose_config(Invocation("run", ("task=codeact_instruct",))).config["task"]["sets"]
HERE = [name for name in SETS if name != "alfworld"]
"""ALFWorld's games are another part's, and are too many for a sample."""


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "_PAUSES", (0.0, 0.0, 0.0))


@pytest.fixture
def server() -> Iterator[FileServer]:
    with file_server(raw_files()) as running:
        yield running


def words(server: FileServer, folder: Path, *more: str) -> list[str]:
    places = [f"raw={folder / 'raw'}", f"out={folder / 'out'}", f"url={server.address}"]
    choice = ["verify=false", "missing=skip"]
    return ["prepare", "task=codeact_instruct", "download=true", *places, *choice, *more]


def counts(out: Path) -> dict[str, int]:
    return {path.stem: path.read_text().count("\n") for path in out.glob("*.jsonl")}


def test_all_sets_are_fetched_and_made_with_one_card(
    server: FileServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words(server, tmp_path)) == 0
    out = tmp_path / "out"
    assert counts(out) == {**dict.fromkeys(HERE, TASKS), "apps.fewshot": 10}
    for name in HERE:
        assert len(load_tasks(get(SETS[name]["family"]), out / f"{name}.jsonl")) == TASKS
    assert [path.name for path in out.glob("*.card.json")] == ["codeact_instruct.card.json"]
    card = json.loads((out / "codeact_instruct.card.json").read_bytes())
    assert card["tasks"] == counts(out)
    assert list(card["data_sets"]) == [
        n for n in COLLECTIONS["codeact_instruct"] if n != "alfworld"
    ]
    assert card["left_out"][0].startswith("alfworld: ")
    said = capsys.readouterr()
    assert f"algebra.jsonl: {TASKS} rows; the published collection had 1,226" in said.out
    assert "left out: alfworld: " in said.err
    assert "train.json: 0.0 MB" in said.err


def test_a_solution_of_the_archive_is_kept_with_its_problem(
    server: FileServer, tmp_path: Path
) -> None:
    assert main(words(server, tmp_path)) == 0
    first, *others = (tmp_path / "out" / "geometry.jsonl").read_text().splitlines()
    assert json.loads(first)["extra"] == {"raw_solution": r"Add them: \boxed{2}."}
    assert {json.loads(line)["extra"]["raw_solution"] for line in others} == {None}


def test_nothing_is_fetched_or_unpacked_twice(server: FileServer, tmp_path: Path) -> None:
    assert main(words(server, tmp_path)) == 0
    asked = len(server.seen)
    unpacked = next((tmp_path / "raw").rglob("training.tsv"))
    written = unpacked.stat().st_mtime_ns
    made = (tmp_path / "out" / "codeact_instruct.card.json").read_bytes()
    (tmp_path / "raw" / "strategyqa" / "strategyqa_dataset.zip").unlink()  # to save room
    assert main(words(server, tmp_path)) == 0
    alfworld = [path for path, _ in server.seen if path.startswith("alfworld/")]
    assert len(server.seen) - asked <= len(alfworld) / 2
    assert unpacked.stat().st_mtime_ns == written
    assert (tmp_path / "out" / "codeact_instruct.card.json").read_bytes() == made


def test_one_that_cannot_be_had_stops_it_unless_it_may_be_skipped(
    server: FileServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    del server.files["hotpotqa/train.json"]
    assert main(words(server, tmp_path, "missing=refuse")) == 1
    said = capsys.readouterr().err
    assert "missing=skip leaves it out" in said
    assert not (tmp_path / "out").exists()
    assert main(words(server, tmp_path)) == 0
    assert "left out: hotpotqa: " in capsys.readouterr().err
    assert set(counts(tmp_path / "out")) == {"apps.fewshot", *HERE} - {"hotpotqa"}


def test_a_broken_file_leaves_the_whole_as_it_was(server: FileServer, tmp_path: Path) -> None:
    assert main(words(server, tmp_path)) == 0
    before = {path: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    (tmp_path / "raw" / "hotpotqa" / "train.json").write_text("{torn")
    assert main(words(server, tmp_path)) == 1
    assert {path: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before


def test_raw_files_that_are_there_need_no_network(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, content in raw_files().items():
        if name.startswith("hotpotqa"):
            (tmp_path / "raw" / name).parent.mkdir(parents=True)
            (tmp_path / "raw" / name).write_bytes(content)
    places = [f"raw={tmp_path / 'raw'}", f"out={tmp_path / 'out'}"]
    assert main(["prepare", "task=codeact_instruct", *places]) == 1
    assert "has no folder apps; get it by download=true; missing=skip" in capsys.readouterr().err
    assert main(["prepare", "task=codeact_instruct", "missing=skip", *places]) == 0
    assert counts(tmp_path / "out") == {"hotpotqa": TASKS}
    assert "left out: algebra: " in capsys.readouterr().err
    assert main(["prepare", "task=codeact_instruct", "raw=hub:x"]) == 1
    assert "is made of a folder of raw files" in capsys.readouterr().err


# -- MATH, whose own address is gone


def math(folder: Path, *more: str) -> list[str]:
    return ["prepare", "task=math", f"raw={folder / 'raw'}", f"out={folder / 'out'}", *more]


def test_math_is_made_without_its_archive_and_that_is_told(
    server: FileServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    del server.files["math/MATH.tar"]
    assert main(math(tmp_path, "download=true", f"url={server.address}/math")) == 0
    said = capsys.readouterr().err
    for word in (
        "MATH.tar cannot be fetched (HTTP 404",
        "taken down in 2025",
        "url=",
        "raw=hub:NAME",
    ):
        assert word in said
    card = json.loads((tmp_path / "out" / "math.card.json").read_bytes())
    assert card["notes"] == ["MATH's own files are not there: the rows have no raw_solution"]
    assert counts(tmp_path / "out")["geometry"] == TASKS


def test_a_mirror_of_the_archive_alone_has_to_have_it(
    server: FileServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The seven other files are there; what the user names himself may not lack."""
    for name, content in raw_files().items():
        if "CRAFT" in name:
            path = tmp_path / "raw" / name.removeprefix("math/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    mirror = ["download=true", "verify=false"]
    assert main(math(tmp_path, *mirror, f"url={server.address}/none/MATH.tar")) == 1
    assert "cannot be fetched (HTTP 404" in capsys.readouterr().err
    assert main(math(tmp_path, *mirror, f"url={server.address}/math/MATH.tar")) == 0
    assert (tmp_path / "raw" / "MATH" / "train" / "geometry" / "1.json").is_file()
    assert [path for path, _ in server.seen] == ["none/MATH.tar", "math/MATH.tar"]


def test_a_hostile_archive_is_refused_and_unpacks_nothing(
    server: FileServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with tarfile.open(tmp_path / "bad.tar", "w") as opened:
        link = tarfile.TarInfo("MATH")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc"
        opened.addfile(link)
    server.files["math/MATH.tar"] = Served((tmp_path / "bad.tar").read_bytes())
    words = math(tmp_path, "download=true", "verify=false", f"url={server.address}/math")
    assert main(words) == 1
    assert (
        "'MATH' is a link or a device; nothing of it has been unpacked" in capsys.readouterr().err
    )
    assert not (tmp_path / "raw" / "MATH").exists()
    assert not (tmp_path / "out").exists()


def test_without_crafts_files_answers_come_from_the_solutions(tmp_path: Path) -> None:
    rows = [
        {"problem": "1 + 1?", "type": "Algebra", "level": "Level 5", "solution": r"\boxed{2}"},
        {"problem": "2 + 2?", "type": "Algebra", "level": "Level 1", "solution": r"\boxed{4}"},
        {"problem": "Odds?", "type": "Counting & Probability", "level": "Level 3",
         "solution": r"It is \boxed{\frac{1}{2}}."},
        {"problem": "None?", "type": "Algebra", "level": "Level 4", "solution": "It is 2."},
        {"problem": "Out?", "type": "../x", "level": "Level 4", "solution": r"\boxed{2}"},
    ]  # fmt: skip
    (tmp_path / "raw").mkdir()
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "raw" / "train.jsonl").write_text(lines)
    assert main(math(tmp_path)) == 0
    out = tmp_path / "out"
    (algebra,) = map(json.loads, (out / "algebra.jsonl").read_text().splitlines())
    (odds,) = map(json.loads, (out / "counting_and_probability.jsonl").read_text().splitlines())
    assert (algebra["id"], algebra["answer"], odds["answer"]) == (0, "2", r"\frac{1}{2}")
    card = json.loads((out / "math.card.json").read_bytes())
    assert [one["reason"] for one in card["findings"]] == [
        r"field 'solution' marks no answer by \boxed",
        "field 'type' is '../x'",
    ]


@pytest.mark.parametrize(
    ("solution", "answer"),
    [
        (r"\boxed{1} then \boxed{\text{a {b}}}", r"\text{a {b}}"),
        (r"so $\fbox{7}$", "7"),
        (r"is \boxed 2$.", "2"),
        (r"is \boxed{2", None),
        (r"is \boxed{}", None),
        ("is 2", None),
    ],
)
def test_the_last_box_is_the_answer(solution: str, answer: str | None) -> None:
    assert answer_in(solution) == answer
