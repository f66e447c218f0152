"""Paths with commas, parentheses, spaces and equals signs, in every command, without quotes."""

import json
import shutil
from pathlib import Path

import pytest

from codeact.cli import main
from codeact.experiment.overrides import literal, parsed, quoted
from codeact.recordings.run_folder import latest_records
from codeact.resources import data_folder, resolve_path

SAMPLE = "pkg://codeact.sample"
STRANGE = "a, b (c)=d [e] 'f' #g"
LIGHT = ["executor.preload=[]", "executor.warm=1"]
RUN = ["model=scripted", "tracker=none", "limit=1", *LIGHT]

pytestmark = pytest.mark.usefixtures("local_sandbox")


@pytest.mark.parametrize(
    ("value", "means"),
    [
        ("plain", "plain"),
        ("a, b", "a, b"),
        ("a (1)/b", "a (1)/b"),
        ("a=b", "a=b"),
        ("it's", "it's"),
        ("a\\", "a\\"),
        ("a\\'b", "a\\'b"),
        ("a\\b (c)", "a\\b (c)"),
        (" x ", " x "),
        ("[x] y", "[x] y"),
        ("{a", "{a"),
        ("12", "12"),
        ("true", "true"),
        ("choice(a)", "choice(a)"),
        ("~/x", "~/x"),
        ("${b}/c (d)", "${b}/c (d)"),
        ("null", None),
        ("[x,y]", ["x", "y"]),
        ("'a, b'", "a, b"),
        ('"a, b"', "a, b"),
    ],
)
@pytest.mark.parametrize("key", ["data", "search.path", "+model.source"])
def test_a_path_is_what_it_says(key: str, value: str, means: object) -> None:
    assert parsed(quoted(f"{key}={value}")).value() == means


@pytest.mark.parametrize(
    ("word", "same"),
    [
        ("turns=a,b", "turns=a,b"),
        ("data=a,b", "data=a,b"),
        ("data=a (1),b", "data='a (1)','b'"),
        ("run_dir=a, b", "run_dir='a, b'"),
        ("samples=range(1,3)", "samples=range(1,3)"),
    ],
)
def test_in_a_sweep_commas_separate_values_but_for_its_folder(word: str, same: str) -> None:
    assert quoted(word, sweep=True) == same


@pytest.mark.parametrize("text", ["", "'", "\\", "\\\\'", "a\\b'c\\", "x"])
def test_a_literal_means_itself(text: str) -> None:
    assert parsed(f"a={literal(text)}").value() == text


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder of a test, with the sample data in a folder of a strange name."""
    monkeypatch.chdir(tmp_path)
    strange = tmp_path / STRANGE
    shutil.copytree(resolve_path(f"{SAMPLE}/tasks"), strange / "tasks")
    shutil.copytree(resolve_path(f"{SAMPLE}/recordings"), strange / "recordings")
    shutil.copy(resolve_path(f"{SAMPLE}/encyclopaedia.jsonl"), strange / "pages, all.jsonl")
    return tmp_path


def test_a_run_is_played_and_resumed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["run", *RUN, "task=gsm8k", f"data={STRANGE}/tasks", f"run_dir={STRANGE}/run, 1"]
    words += ["search=pages", f"search.path={STRANGE}/pages, all.jsonl", f"cache={STRANGE}/c (d)"]
    assert main(words) == 0
    run = folder / STRANGE / "run, 1"
    assert len(latest_records(run)) == 1
    assert main(words) == 0
    assert "1 of 1 episodes are there already" in capsys.readouterr().err
    assert len((run / "episodes.jsonl").read_text().splitlines()) == 1
    assert (folder / STRANGE / "c (d)").is_dir()


def test_a_sweep_has_a_folder_of_any_name(folder: Path) -> None:
    words = [
        "run",
        "-m",
        *RUN[:2],
        *LIGHT,
        "task=gsm8k",
        f"data='{STRANGE.split(' [', maxsplit=1)[0]}'",
    ]
    shutil.copytree(folder / STRANGE / "tasks", folder / STRANGE.split(" [", maxsplit=1)[0])
    assert main([*words, "limit=1,2", f"run_dir={STRANGE}/sweep, (1)"]) == 0
    sweep = folder / STRANGE / "sweep, (1)"
    assert [row["planned"] for row in json.loads((sweep / "sweep.json").read_text())] == [1, 2]


def test_commands_that_read_recordings(folder: Path) -> None:
    recordings, tasks = f"{STRANGE}/recordings", f"data={STRANGE}/tasks"
    one = ["task=gsm8k", tasks, "executor.preload=[]"]
    out = f"out={STRANGE}/x, (y)=z.jsonl"
    assert main(["replay", recordings, *one, out]) == 0
    assert main(["regrade", f"source={recordings}", *one, out]) == 0
    assert main(["validate", *one]) == 0
    assert main(["tiers", recordings, f"out={STRANGE}/tiers, 1", "workers=1"]) == 0
    assert main(["select", recordings, f"out={STRANGE}/select, 1", "workers=1"]) == 0
    assert main(["select", recordings, recordings, f"out={STRANGE}/two, 1", "workers=1"]) == 0
    chosen = f"{STRANGE}/select, 1/easy.jsonl"
    assert main(["convert", chosen, "format=openai", f"out={STRANGE}/chat (1)"]) == 0
    assert main(["stats", chosen, chosen, f"out={STRANGE}/stats (1)"]) == 0
    for made in ("tiers, 1/report.json", "two, 1/easy.jsonl", "chat (1)/easy.jsonl", "stats (1)"):
        assert (folder / STRANGE / made).exists()


def test_import_and_export(folder: Path) -> None:
    (folder / STRANGE / "run").mkdir()
    recorded = folder / STRANGE / "recordings" / "episodes.jsonl.gz"
    shutil.copy(recorded, folder / STRANGE / "run" / "episodes.jsonl.gz")
    config = "task:\n  sets:\n" + "".join(
        f"    {path.stem}: {{family: {path.stem}, path: x}}\n"
        for path in (folder / STRANGE / "tasks").glob("*.jsonl")
    )
    (folder / STRANGE / "run" / "config.yaml").write_text(config)
    assert main(["export", f"{STRANGE}/run", f"{STRANGE}/published, (1)"]) == 0
    assert main(["import", f"{STRANGE}/published, (1)", f"{STRANGE}/back, (1)"]) == 0
    assert list((folder / STRANGE / "back, (1)").rglob("episodes.jsonl"))


def test_prepare_and_sandbox_exec(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    raw = folder / STRANGE / "raw, (1)"
    raw.mkdir()
    row = {"question": "How many?", "answer": "Two and two.\n#### 4"}
    for split in ("train", "test"):
        (raw / f"{split}.jsonl").write_text(json.dumps(row) + "\n")
    words = ["prepare", "task=gsm8k", f"raw={raw}", f"out={STRANGE}/prepared, (1)", "sample=null"]
    assert main(words) == 0
    assert (folder / STRANGE / "prepared, (1)" / "gsm8k.jsonl").exists()
    cells = folder / STRANGE / "cells, (1).jsonl"
    cells.write_text('{"session": "a", "code": "1 + 1"}\n')
    assert main(["sandbox", "exec", str(cells), "executor.preload=[]"]) == 0
    assert '"2"' in capfd.readouterr().out.replace("Out[1]: 2", "2")


def test_a_recipe_and_a_config_folder(folder: Path) -> None:
    own = folder / STRANGE / "conf, (1)"
    (own / "recipe").mkdir(parents=True)
    text = (data_folder("conf") / "recipe" / "sample.yaml").read_text()
    (own / "recipe" / "mine.yaml").write_text(text)
    words = ["collect", "recipe=mine", "--config-dir", str(own), f"out={STRANGE}/out, (1)"]
    words += [f"data={STRANGE}/tasks", "workers=1", "selection.filters=[excluded_tasks]"]
    words += ["recipe.common=['task=gsm8k','tracker=none','executor.preload=[]']"]
    assert main(words) == 0
    assert (folder / STRANGE / "out, (1)" / "report.json").exists()
