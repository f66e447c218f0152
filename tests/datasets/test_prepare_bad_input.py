"""``codeact prepare`` as a user meets it: small raw files of our own, many of them broken."""

import gzip
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from codeact import datasets as families
from codeact.cli import main
from codeact.commands.prepare import PrepareConfig
from codeact.datasets import preparing
from codeact.datasets.wiki_table_questions.table_text import shown
from codeact.exceptions import TaskFileError
from codeact.experiment.config.compose import Invocation, compose_config
from codeact.experiment.config.validation import validated

ROW = {
    "id": "nt-1",
    "prompt": "Which cities?",
    "reference": "Ur|Uruk",
    "table": [{"City": "Ur"}, {"City": "Uruk"}],
    "table_id": "1-csv/1",
}
GOOD = {"question": "How many?", "answer": "Two and two. #### 1,004"}


def raw_file(folder: Path, name: str, *lines: Any) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    path.write_text("\n".join(texts) + "\n", "utf-8")
    return folder


def prepared(name: str, raw: Path, out: Path, **changes: Any) -> preparing.Card:
    preparer = preparing.get(name)
    return preparing.prepare(preparer, str(raw), out, preparer.choice._replace(**changes))


def test_every_unfit_record_is_told_with_file_and_line(tmp_path: Path) -> None:
    raw = raw_file(
        tmp_path / "raw",
        "train.jsonl",
        GOOD,
        "{torn",
        {"question": "?"},
        {"question": "?", "answer": 3},
        {"question": "?", "answer": "no mark"},
        [1],
        {"question": "?", "answer": "#### many"},
        {**GOOD, "question": "And now?"},
    )
    card = prepared("gsm8k", raw, tmp_path / "out")
    told = [(item.where.rpartition("line ")[2], item.reason) for item in card.findings]
    assert [line for line, _ in told] == ["2", "3", "4", "5", "6", "7"]
    words = ["not valid JSON", "'answer' is missing", "no text", "####", "no JSON object", "number"]
    assert all(word in reason for word, (_, reason) in zip(words, told, strict=True))
    assert all("train.jsonl" in item.where for item in card.findings)
    tasks = families.load_tasks(families.get("gsm8k"), tmp_path / "out" / "gsm8k.jsonl")
    assert [task.reference for task in tasks] == ["1004", "1004"]
    kept = json.loads((tmp_path / "out" / "gsm8k.card.json").read_bytes())
    assert (kept["left_out"], kept["licence"], len(kept["findings"])) == (6, "MIT", 6)
    content = (raw / "train.jsonl").read_bytes()
    assert kept["raw_sha256"] == {"train.jsonl": hashlib.sha256(content).hexdigest()}
    written = (tmp_path / "out" / "gsm8k.jsonl").read_bytes()
    assert kept["files"]["gsm8k.jsonl"]["sha256"] == hashlib.sha256(written).hexdigest()


def test_what_was_there_stays_when_the_raw_file_is_cut(tmp_path: Path) -> None:
    raw = raw_file(tmp_path / "raw", "train.jsonl", GOOD)
    prepared("gsm8k", raw, tmp_path / "out")
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    packed = gzip.compress((json.dumps(GOOD) + "\n").encode() * 500)
    torn = tmp_path / "train.jsonl.gz"
    torn.write_bytes(packed[:-20])
    with pytest.raises(TaskFileError, match=r"train\.jsonl\.gz is not a whole gzip file"):
        prepared("gsm8k", torn, tmp_path / "out")
    with pytest.raises(TaskFileError, match="no record of it can be used"):
        prepared("gsm8k", raw_file(tmp_path / "bad", "train.jsonl", "{"), tmp_path / "out")
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before


def test_apps_counts_what_each_filter_takes(tmp_path: Path) -> None:
    row: dict[str, Any] = dict.fromkeys(("solutions", "url", "starter_code"), "")
    row = {**row, "problem_id": 1, "question": "Do.", "difficulty": "interview"}
    cases = json.dumps({"inputs": ["1"], "outputs": ["1"]})
    none = json.dumps({"inputs": [], "outputs": []})
    raw = raw_file(
        tmp_path / "raw",
        "train.jsonl",
        {**row, "input_output": cases},
        {**row, "input_output": ""},
        {**row, "input_output": none},
        {**row, "input_output": "{"},
        {**row, "input_output": cases, "difficulty": "easy"},
        {**row, "input_output": cases, "question": "Do otherwise."},
    )
    card = prepared("apps", raw, tmp_path / "out", few_shot=0)
    assert [(step.of, step.kept) for step in card.steps] == [(6, 5), (5, 4), (4, 2), (2, 1)]
    reasons = [item.reason for item in card.findings]
    assert ["not valid JSON" in reasons[0], "another record" in reasons[1]] == [True, True]
    assert len(reasons) == 2


def test_hotpotqa_takes_the_hard_ones(tmp_path: Path) -> None:
    levels = ["easy", "hard", "medium", "hard"]
    items = [{"question": f"{n}?", "answer": "a", "level": v} for n, v in enumerate(levels)]
    raw = raw_file(tmp_path / "raw", "train.json", items)
    card = prepared("hotpotqa", raw, tmp_path / "out")
    assert (card.steps[0].of, card.steps[0].kept) == (4, 2)
    assert prepared("hotpotqa", raw, tmp_path / "all", levels=None).steps[0].kept == 4


def test_a_table_that_neither_reader_parses_costs_its_questions(tmp_path: Path) -> None:
    root = tmp_path / "WikiTableQuestions"
    raw_file(root, "csv/1-csv/1.csv", "a,b", "1,2")
    raw_file(root, "csv/1-csv/2.csv", "a", "1,2,3", "1,2,3,4,5")
    raw_file(root, "csv/1-csv/2.tsv", "a\tb", "1\t2")
    raw_file(root, "csv/1-csv/3.csv", "a", "1,2,3", "1,2,3,4,5")
    raw_file(
        root,
        "data/training.tsv",
        "id\tutterance\tcontext\ttargetValue",
        *(f"nt-{n}\twhat?\tcsv/1-csv/{n}.csv\t2" for n in (1, 2, 3, 4)),
        "nt-5\twhat?\tcsv/1-csv/1.csv\t",
    )
    card = prepared("wiki_table_questions", tmp_path, tmp_path / "out")
    assert card.files["wiki_table_questions.jsonl"].rows == 2
    assert any("2.tsv is read instead" in note for note in card.notes)
    told = " ".join(f"{item.where}: {item.reason}\n" for item in card.findings)
    for words in ("3.csv", "nor is 3.tsv", "line 4: its table", "line 5: its table", "none empty"):
        assert words in told


def test_a_table_is_shown_with_its_middle_left_out() -> None:
    import pandas

    wide = pandas.DataFrame([{f"column {n}": "x" * 12 for n in range(9)}] * 6)
    lines = shown(wide).split("\n")
    assert lines[-1] == "[5 rows x 9 columns]"
    assert " ... " in lines[0]
    assert max(map(len, lines)) <= 80
    narrow = pandas.DataFrame({"a": [1, 2], "b": ["x", None]})
    assert shown(narrow) == "   a    b\n0  1    x\n1  2  NaN"


def test_the_command_names_what_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words, told in [
        (["task=gsm8", "raw=x"], "did you mean 'gsm8k'"),
        (["task=gsm8k", f"raw={tmp_path}/none"], "is not there"),
        (["task=gsm8k", "raw=x", "sample=0"], "sample=0 takes nothing"),
        (["task=mmlu", "raw=hub:mmlu"], "give their folder"),
        (["task=gsm8k", "raw=hub:x", "download=true"], "not a hub"),
        (["raw=x"], "data_set is not set"),
    ]:
        assert main(["prepare", *words]) == 1
        assert told in capsys.readouterr().err


def test_the_command_composes_and_names_every_key() -> None:
    composed = compose_config(Invocation("prepare", ("data_set=apps", "raw=x")))
    config = validated(PrepareConfig, composed)
    assert set(composed.config) == set(PrepareConfig.model_fields)
    assert config.choice(preparing.get("apps")) == preparing.get("apps").choice


def test_every_preparer_has_a_family_and_a_licence() -> None:
    for name in preparing.names():
        preparer = preparing.get(name)
        assert (preparer.name, bool(preparer.licence and preparer.source)) == (name, True)
        families.get(preparer.family)


@pytest.mark.parametrize(
    ("form", "cell"),
    [
        ("pandas", "df['City'].tolist()"),
        ("sql", "conn.execute('select count(*) from data_table').fetchone()"),
    ],
)
def test_a_whole_run_asks_the_table(
    local_sandbox: None, tmp_path: Path, form: str, cell: str
) -> None:
    (tmp_path / "wiki_table_questions.jsonl").write_text(
        json.dumps({**ROW, "question_format": form}) + "\n"
    )
    texts = [f"<execute> {cell} </execute>", "<solution> ['Ur', 'Uruk'] </solution>"]
    status = main(
        [
            "run",
            "model=scripted",
            "task=wiki_table_questions",
            f"data={tmp_path}",
            f"model.texts={json.dumps(texts)}",
            f"run_dir={tmp_path / 'run'}",
        ]
    )
    assert status == 0
    text = "".join(
        path.read_text("utf-8", "replace") for path in (tmp_path / "run").glob("**/*.jsonl")
    )
    assert "Uruk" in text
    assert '"success":true' in text.replace(" ", "")
