"""The wheel in an empty environment, with a user's own folder and plug-in package."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
UV = Path(sys.executable).parent / "uv"

PLUGIN = {
    "pyproject.toml": """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
[project]
name = "my-plugin"
version = "1"
[project.entry-points."codeact.families"]
doubling = "my_plugin:FAMILY"
[project.entry-points."codeact.tools"]
twice = "my_plugin:TWICE"
[project.entry-points."codeact.models"]
parrot = "my_plugin:ParrotSettings"
[project.entry-points."codeact.prompts"]
terse = "my_plugin:Terse"
""",
    "my_plugin.py": """
from dataclasses import replace
from typing import Literal

from codeact.datasets.gsm8k.task import FAMILY as GSM8K
from codeact.models.base import ModelSettings
from codeact.models.scripted import ScriptedModel
from codeact.tools import Tool
from codeact.episode.prompts import CodeStrategy
from codeact.episode.task import ToolSpec

FAMILY = replace(GSM8K, name="doubling", tools=("twice",))


async def twice(n):
    return 2 * n


TWICE = Tool(ToolSpec("twice", "twice(n: int) -> int", "Doubles n."), twice)


class Terse(CodeStrategy):
    name = "terse"


class ParrotSettings(ModelSettings):
    kind: Literal["parrot"]

    def create(self):
        return ScriptedModel(["<execute> twice(21) </execute>", "<solution> 42 </solution>"])
""",
}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment that holds the wheel and the plug-in, and nothing of the checkout."""
    if not UV.is_file():
        pytest.skip("uv is not in this environment: make test installs it")
    folder = tmp_path_factory.mktemp("wheel")
    plugin = folder / "plugin"
    plugin.mkdir()
    for name, text in PLUGIN.items():
        (plugin / name).write_text(text)
    run = [str(UV), "--quiet"]
    python = folder / "env" / "bin" / "python"
    subprocess.run([*run, "build", "--wheel", "-o", str(folder), str(ROOT)], check=True)
    subprocess.run([*run, "venv", "--python", sys.executable, str(folder / "env")], check=True)
    (wheel,) = folder.glob("codeact-*.whl")
    constraints = ["--constraints", str(ROOT / "requirements.lock")]
    install = [*run, "pip", "install", "--python", str(python)]
    subprocess.run([*install, *constraints, str(wheel), str(plugin)], check=True)
    return python.parent / "codeact"


@pytest.mark.timeout(300)
@pytest.mark.usefixtures("local_sandbox")
def test_the_wheel_runs_its_own_sample_suite(installed: Path, tmp_path: Path) -> None:
    done = run(installed, tmp_path, "run", "model=scripted", "limit=1", "run_dir=out")
    assert done.returncode == 0, done.stderr
    assert "8 " in done.stdout
    assert (tmp_path / "out" / "episodes.jsonl").read_text().count("\n") == 8


@pytest.mark.timeout(300)
@pytest.mark.usefixtures("local_sandbox")
def test_a_users_folder_and_plugin_extend_it(installed: Path, tmp_path: Path) -> None:
    conf = tmp_path / "mine"
    (conf / "task").mkdir(parents=True)
    (conf / "model").mkdir()
    (conf / "model" / "parrot.yaml").write_text("kind: parrot\nname: parrot\n")
    (conf / "task" / "doubling.yaml").write_text(
        f"sets:\n  doubling:\n    family: doubling\n    path: {tmp_path}/tasks.jsonl\n"
        "    limit: null\n    ids: null\n"
    )
    (tmp_path / "tasks.jsonl").write_text('{"id": 0, "prompt": "21 twice?", "reference": "42"}\n')
    done = run(
        installed,
        tmp_path,
        *["run", "--config-dir", "mine", "model=parrot", "task=doubling"],
        *["prompt.strategy=terse", "run_dir=out"],
    )
    assert done.returncode == 0, done.stderr
    record = (tmp_path / "out" / "episodes.jsonl").read_text()
    assert "Out[1]: 42" in record
    assert "task_success" in record


def run(installed: Path, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VIRTUAL_ENV"))}
    return subprocess.run(
        [str(installed), *words],
        cwd=folder,
        env=clean,
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
