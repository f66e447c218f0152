"""Runs at W&B as sources: what an address means, and what is fetched once.

The network is left out: a stand-in has the three calls of the public API that are used.
"""

import gzip
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from codeact.exceptions import ConfigError, RecordingError
from codeact.results.comparison.compare import compare
from codeact.results.comparison.wandb_runs import fetched, offline_run
from tests.helpers.compared import run_folder, solved

PROJECT = "wandb://me/agents/"


class Artifact:
    """A run's folder as the tracker uploads it: its episodes compressed."""

    def __init__(self, folder: Path, kind: str = "episodes") -> None:
        self.folder = folder
        self.type = kind
        self.digest = f"digest/of/{folder.name}"
        self.downloads = 0

    def download(self, root: str) -> str:
        self.downloads += 1
        Path(root).mkdir(parents=True)
        content = gzip.compress((self.folder / "episodes.jsonl").read_bytes())
        Path(root, "episodes.jsonl.gz").write_bytes(content)
        Path(root, "config.yaml").write_bytes((self.folder / "config.yaml").read_bytes())
        return root


class Run:
    def __init__(self, id_: str, name: str, group: str, artifacts: list[Artifact]) -> None:
        self.id, self.name, self.group, self.artifacts = id_, name, group, artifacts
        self.summary = {"success_rate": 0.25}

    def logged_artifacts(self) -> Iterable[Artifact]:
        return self.artifacts


class Api:
    """Finds runs by W&B's names of their id, their shown name and their group."""

    def __init__(self, runs: list[Run]) -> None:
        self.held = runs

    def runs(self, path: str, filters: dict[str, Any]) -> Iterable[Run]:
        assert path == "me/agents"
        ((key, wanted),) = filters.items()
        shown = {"name": "id", "display_name": "name", "group": "group"}[key]
        return [run for run in self.held if getattr(run, shown) == wanted]


@pytest.fixture
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Api:
    """Two runs of a group with their episodes, and one without."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folders = [run_folder(tmp_path / name, solved(range(n), 8)) for name, n in (("a", 2), ("b", 6))]
    runs = [
        Run(f"id-{place}", f"run-{place}", "turns", [Artifact(folder, "model"), Artifact(folder)])
        for place, folder in enumerate(folders)
    ]
    found = Api([*runs, Run("id-2", "run-2", "alone", [])])
    monkeypatch.setattr("codeact.results.comparison.wandb_runs._public_api", lambda: found)
    return found


def test_runs_are_compared_by_id_and_by_name(api: Api) -> None:
    (pair,) = compare(f"{PROJECT}id-0", f"{PROJECT}run-1").report.pairs
    assert (pair.pairs, pair.rate_a, pair.rate_b) == (8, 0.25, 0.75)
    assert pair.flips[0].a[0].endswith("/id-0/digest_of_a/episodes.jsonl.gz:3")


def test_a_group_is_compared_with_its_first_run_and_fetched_once(api: Api) -> None:
    for _ in range(2):
        found = compare(f"{PROJECT}turns").report
        assert [run.name for run in found.runs] == ["run-0", "run-1"]
    assert [run.artifacts[-1].downloads for run in api.held[:2]] == [1, 1]
    assert [run.artifacts[0].downloads for run in api.held[:2]] == [0, 0]


def test_what_was_not_uploaded_says_what_to_do(api: Api) -> None:
    with pytest.raises(RecordingError, match=r"tracker.artifact=true.* Its summary says 25.0%"):
        fetched(f"{PROJECT}run-2", api)
    with pytest.raises(ConfigError, match="no run and no group"):
        fetched(f"{PROJECT}other", api)
    with pytest.raises(ConfigError, match="give wandb://ENTITY/PROJECT/RUN-OR-GROUP"):
        fetched("wandb://me/agents", api)


def test_an_offline_folder_means_its_run_folder(tmp_path: Path) -> None:
    run = run_folder(tmp_path / "a", solved([0], 2))
    offline = run / "wandb" / "offline-run-20240101_000000-x"
    offline.mkdir(parents=True)
    assert offline_run(offline) == run
    assert offline_run(run) is None
    moved = offline.rename(tmp_path / offline.name)
    with pytest.raises(ConfigError, match="wandb sync"):
        offline_run(moved)
