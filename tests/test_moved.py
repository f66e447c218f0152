"""Import paths of before the move: they work, say what is new, and give the same objects."""

import subprocess
import sys
import warnings
from importlib import import_module
from importlib.util import find_spec

import pytest

from codeact.moved import MOVED

# What the documents, the plug-ins in tests and the benchmarks of before imported.
PUBLIC = [
    ("codeact.edge.families", "codeact.datasets", "Family get load_tasks names"),
    ("codeact.edge.families.base", "codeact.datasets.family", "Family RowError text"),
    ("codeact.edge.families.gsm8k", "codeact.datasets.gsm8k.task", "FAMILY"),
    ("codeact.edge.preparing", "codeact.datasets.preparing", "Preparer Choice get"),
    ("codeact.edge.preparing.base", "codeact.datasets.preparing.base", "Preparer Made Journal"),
    ("codeact.edge.preparing.raw", "codeact.datasets.preparing.raw", "Raw"),
    ("codeact.edge.preparing.gsm8k", "codeact.datasets.gsm8k.prepare", "PREPARER"),
    ("codeact.edge.graders.base", "codeact.graders.base", "Grader Mode"),
    ("codeact.edge.graders.code", "codeact.graders.code", "CodeGrader"),
    ("codeact.edge.models.base", "codeact.models.base", "ModelSettings Request EpisodeKey"),
    ("codeact.edge.models.factory", "codeact.models.registry", "model_kinds settings_type"),
    ("codeact.edge.models.openai_settings", "codeact.models.openai.settings", "OpenAISettings"),
    ("codeact.edge.models.response_cache", "codeact.models.cache", "CachedModel ResponseStore"),
    ("codeact.edge.models.scripted", "codeact.models.scripted", "ScriptedModel ScriptedSettings"),
    ("codeact.edge.models.vllm_settings", "codeact.models.vllm.settings", "VllmSettings"),
    ("codeact.edge.sandboxes.base", "codeact.sandboxes.base", "Sandbox Session"),
    ("codeact.edge.sandboxes.docker", "codeact.sandboxes.docker.executor", "DockerSandbox"),
    ("codeact.edge.sandboxes.settings", "codeact.sandboxes.settings", "LocalSettings"),
    ("codeact.edge.sandboxes.start", "codeact.sandboxes.start", "start_sandbox"),
    ("codeact.edge.tools", "codeact.tools", "Tool ToolBox open_toolbox"),
    ("codeact.edge.tools.base", "codeact.tools.base", "Tool held_up"),
    ("codeact.edge.tools.search", "codeact.tools.search", "open_search render"),
    ("codeact.edge.sandboxes.image", "codeact.sandboxes.docker.image", ""),
    ("codeact.edge.models.openai_wire", "codeact.models.openai.wire", ""),
    ("codeact.edge.preparing.hub", "codeact.datasets.preparing.hub", ""),
    ("codeact.experiment.causes", "codeact.episode.causes", "should_retry"),
    ("codeact.collection.trajectory", "codeact.recordings.trajectory", "Trajectory"),
    ("codeact.experiment.store", "codeact.recordings.run_folder", "RunFolder read_records"),
    ("codeact.experiment.compose", "codeact.experiment.config.compose", "compose_config"),
]


@pytest.fixture(autouse=True)
def forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test imports old paths as the first one does."""
    for name in [*sys.modules]:
        if name.startswith("codeact.edge") or name in dict(MOVED):
            monkeypatch.delitem(sys.modules, name)


@pytest.mark.parametrize(("old", "new", "names"), PUBLIC)
def test_an_old_path_warns_and_gives_the_same_objects(old: str, new: str, names: str) -> None:
    with pytest.warns(DeprecationWarning) as heard:
        found = import_module(old)
    assert f"{old} has moved: import {new} instead" in [str(one.message) for one in heard]
    for name in names.split():
        assert getattr(found, name) is getattr(import_module(new), name)


def test_the_warning_is_the_importers() -> None:
    """Python shows it where the old path stands, in a script by default."""
    script = "from codeact.edge.models.base import ModelSettings\nfrom codeact.edge import tools"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    said = done.stderr.splitlines()
    assert [line.partition(": ")[0] for line in said if "has moved" in line] == [
        "<string>:1",
        "<string>:1",
        "<string>:2",
    ]


NEVER = [
    "edge.nothing",
    "edge.models.none",
    "edge.preparing.none",
    "experiment.no",
    "collection.no",
]


@pytest.mark.parametrize("name", [f"codeact.{name}" for name in [*NEVER, "no"]])
def test_a_path_that_never_was_is_not_found(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        with pytest.raises(ModuleNotFoundError, match=name):
            import_module(name)


def test_every_new_path_of_the_table_is_there() -> None:
    assert [new for _, new in MOVED if new and "*" not in new and not find_spec(new)] == []


def test_no_new_path_fits_an_old_one_with_a_star() -> None:
    starts = tuple(old.removesuffix("*") for old, _ in MOVED if old.endswith("*"))
    assert [new for _, new in MOVED if new.startswith(starts)] == []


def test_codeact_itself_uses_no_old_path() -> None:
    script = "import codeact.commands.run, sys\n"
    script += "print([name for name in sys.modules if name.startswith('codeact.edge')])"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
