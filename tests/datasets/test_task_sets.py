"""Task files: what is read, what the prompts become, and what is refused with file and line."""

import gzip
import json
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from codeact import datasets as families
from codeact.datasets.families import FAMILIES
from codeact.datasets.preparing.preparers import PREPARERS
from codeact.exceptions import ConfigError, TaskFileError

DATA = Path(__file__).parents[3] / "shared" / "data"
GOOD = {"id": 0, "prompt": " 1 + 1? ", "reference": "2"}
CODE = {
    "id": 3,
    "prompt": '"""\nWrite f.\nassert f(1) == 2\n"""\n',
    "reference": "assert f(1) == 2",
    "code": "def f(x): return x + 1",
    "test_list": ["assert f(1) == 2"],
}


def write(path: Path, *lines: Any) -> Path:
    text = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
    path.write_text(text + "\n", "utf-8")
    return path


def test_prompts_become_the_published_ones() -> None:
    assert families.get("gsm8k").task(GOOD).prompt == "1 + 1?"
    assert families.get("mbpp").task(CODE).prompt == "Write f.\nassert f(1) == 2"
    theorem = families.get("theoremqa").task({**GOOD, "reference": 2, "answer_type": "integer"})
    assert theorem.prompt.endswith("True or False.  1 + 1? ")
    options = "Which?\nOptions: A ) 1 , B ) 2"
    mmlu = families.get("mmlu").task({"id": 0, "prompt": f" {options}", "reference": "b"})
    assert mmlu.prompt == f" {options}"


def test_reasoning_gets_the_encyclopaedia_and_code_does_not() -> None:
    assert families.get("gsm8k").task(GOOD).tools == ("wikipedia_search",)
    assert families.get("mbpp").task(CODE).tools == ()


def test_a_raw_truth_value_becomes_yes_or_no() -> None:
    task = families.get("strategyqa").task({**GOOD, "reference": False})
    assert task.reference == "no"


def test_gzip_and_blank_lines_are_read(tmp_path: Path) -> None:
    path = tmp_path / "tasks.jsonl.gz"
    path.write_bytes(gzip.compress(json.dumps(GOOD).encode() + b"\n\n"))
    assert [task.id for task in families.load_tasks(families.get("gsm8k"), path)] == ["0"]


@pytest.mark.parametrize(
    ("family", "lines", "words"),
    [
        ("gsm8k", [GOOD, "{broken"], ["line 2", "not valid JSON"]),
        ("gsm8k", [GOOD, {"id": 1, "prompt": "x"}], ["line 2", "'reference'", "missing"]),
        ("gsm8k", [{**GOOD, "reference": 2}], ["line 1", "'reference'", "a number"]),
        ("gsm8k", [{**GOOD, "reference": "two"}], ["'reference'", "'two'"]),
        ("gsm8k", [{**GOOD, "prompt": "  "}], ["'prompt'", "empty"]),
        ("gsm8k", [{**GOOD, "id": None}], ["'id'", "null"]),
        ("gsm8k", [GOOD, "", GOOD], ["line 3", "'id'", "line 1"]),
        ("gsm8k", ["[1]"], ["line 1", "a list"]),
        ("gsm8k", [""], ["no tasks"]),
        ("mmlu", [{**GOOD, "reference": "e"}], ["'reference'", "a, b, c, d"]),
        ("mmlu", [{**GOOD, "reference": "a"}], ["'prompt'", "Options"]),
        ("theoremqa", [{**GOOD, "answer_type": "str"}], ["'answer_type'", "list of integer"]),
        ("theoremqa", [{**GOOD, "answer_type": "float"}], ["'reference'", "'float'"]),
        ("strategyqa", [{**GOOD, "reference": "maybe"}], ["'reference'", "'maybe'"]),
        ("humaneval", [GOOD], ["'canonical_solution'", "missing"]),
        ("mbpp", [{**CODE, "test_list": "assert f"}], ["'test_list'", "a list of texts"]),
    ],
)
def test_a_bad_file_is_refused_with_file_line_and_field(
    tmp_path: Path, family: str, lines: list[Any], words: list[str]
) -> None:
    path = write(tmp_path / "tasks.jsonl", *lines)
    with pytest.raises(TaskFileError) as refusal:
        families.load_tasks(families.get(family), path)
    for word in (str(path), *words):
        assert word in str(refusal.value)


def test_files_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    family = families.get("gsm8k")
    with pytest.raises(TaskFileError, match="is not there"):
        families.load_tasks(family, tmp_path / "none.jsonl")
    with pytest.raises(TaskFileError, match="cannot be read"):
        families.load_tasks(family, tmp_path)
    (tmp_path / "cut.gz").write_bytes(gzip.compress(json.dumps(GOOD).encode())[:-9])
    with pytest.raises(TaskFileError, match="not a whole gzip file"):
        families.load_tasks(family, tmp_path / "cut.gz")
    (tmp_path / "latin.jsonl").write_bytes(b'{"id": 0, "prompt": "\xff", "reference": "1"}\n')
    with pytest.raises(TaskFileError, match=r"line 1: not valid JSON"):
        families.load_tasks(family, tmp_path / "latin.jsonl")


def test_an_unknown_family_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ConfigError, match=r"'gms8k' \(did you mean 'gsm8k'\?"):
        families.get("gms8k")


def test_every_data_set_is_a_small_file() -> None:
    for registry in (FAMILIES, PREPARERS):
        for entry in registry.ours.values():
            path = Path(str(import_module(entry.partition(":")[0]).__file__))
            assert len(path.read_text("utf-8").splitlines()) < 80, path


@pytest.mark.skipif(not DATA.is_dir(), reason="the published task files in ../shared are not here")
@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("gsm8k", 48), ("hotpotqa", 43), ("humaneval", 45), ("math", 100), ("mbpp", 91),
        ("mmlu", 76), ("theoremqa", 49),
    ],
)  # fmt: skip
def test_the_published_task_files_are_read(name: str, count: int) -> None:
    path = DATA / "mint_tasks" / f"{name}.jsonl"
    assert len(families.load_tasks(families.get(name), path)) == count
