"""``codeact prepare`` from a hub: what is read, and what is told where there is nothing."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.fake_hub import COMMIT, fake_hub

GOOD = {"question": "How many?", "answer": "Two and two. #### 1,004"}


def hub_prepare(raw: str, out: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own: the library reads its environment when imported."""
    return subprocess.run(
        [sys.executable, "-m", "codeact", "prepare", "task=gsm8k", f"raw=hub:{raw}", f"out={out}"],
        env={**os.environ, "HF_HOME": str(out.parent / "home"), **environment},
        cwd=out.parent,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def hub_folder(tmp_path: Path) -> Path:
    """A data set as hubs have it: parquet files of two configurations, named in a card."""
    import pandas

    for config, answer in (("main", "#### 4"), ("socratic", "#### 5")):
        (tmp_path / "gsm" / config).mkdir(parents=True)
        rows = pandas.DataFrame(
            [GOOD, {"question": "How?", "answer": answer}, {**GOOD, "answer": ""}]
        )
        rows.to_parquet(tmp_path / "gsm" / config / "test-00000-of-00001.parquet")
    files = "- config_name: {0}\n  data_files:\n  - split: test\n    path: {0}/test-*.parquet\n"
    configs = files.format("main") + files.format("socratic")
    (tmp_path / "gsm" / "README.md").write_text(
        f"---\nlicense: mit\nconfigs:\n{configs}---\n# Gsm\n"
    )
    return tmp_path / "gsm"


def test_a_hub_is_read_by_the_datasets_library(hub_folder: Path) -> None:
    out = hub_folder.parent / "out"
    done = hub_prepare("gsm:socratic", out, HF_HUB_OFFLINE="1")
    assert done.returncode == 0, done.stderr
    assert "left out: hub:gsm, test, row 3: field 'answer' has no ####" in done.stderr
    rows = [json.loads(line) for line in (out / "gsm8k.jsonl").read_text().splitlines()]
    assert [row["reference"] for row in rows] == ["1004", "5"]
    assert json.loads((out / "gsm8k.card.json").read_bytes())["raw"] == "hub:gsm:socratic, test"


@pytest.mark.parametrize(
    ("raw", "environment", "told"),
    [
        ("gsm", {"HF_HUB_OFFLINE": "1"}, "['main', 'socratic']"),
        ("someone/gsm", {"HF_HUB_OFFLINE": "1"}, "offline mode is enabled"),
        ("someone/gsm", {"HF_HUB_OFFLINE": "0", "HF_ENDPOINT": "http://127.0.0.1:9"}, "refused"),
    ],
)
def test_a_hub_that_cannot_be_read_is_told_at_once(
    hub_folder: Path, raw: str, environment: dict[str, str], told: str
) -> None:
    done = hub_prepare(raw, hub_folder.parent / "out", **environment)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()  # nothing of tries, or of a traceback
    for words in (f"raw=hub:{raw}, split test, cannot be read", told, "folder of the raw files"):
        assert words in line
    assert not any((hub_folder.parent / "out").glob("*"))


def test_what_a_hub_gives_is_pinned_to_its_commit(hub_folder: Path) -> None:
    out = hub_folder.parent / "out"
    with fake_hub("me/gsm", hub_folder) as address:
        known = hub_prepare("me/gsm:main", out, HF_ENDPOINT=address, HF_HUB_OFFLINE="0")
        unknown = hub_prepare("me/none", out, HF_ENDPOINT=address, HF_HUB_OFFLINE="0")
    assert known.returncode == 0, known.stderr
    card = json.loads((out / "gsm8k.card.json").read_bytes())
    assert card["raw"] == f"hub:me/gsm:main, test, commit {COMMIT}"
    assert card["files"]["gsm8k.jsonl"]["rows"] == 2
    assert unknown.returncode == 1
    (line,) = unknown.stderr.splitlines()
    assert "RepositoryNotFoundError" in line
