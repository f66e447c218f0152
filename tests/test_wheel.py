"""The wheel in an empty environment, with a user's own folder and the example of a plug-in."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.fake_api import FakeApi
from tests.helpers.serving import threaded

ROOT = Path(__file__).parent.parent
UV = Path(sys.executable).parent / "uv"

EXAMPLE = ROOT / "examples" / "plugin"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment that holds the wheel and the plug-in, and nothing of the checkout."""
    if not UV.is_file():
        pytest.skip("uv is not in this environment: make test installs it")
    folder = tmp_path_factory.mktemp("wheel")
    plugin = folder / "plugin"
    shutil.copytree(EXAMPLE, plugin)
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
    """Through the openai package, which has to be there with its aiohttp transport."""
    with threaded(FakeApi(["<solution> 1 </solution>"])) as api:
        words = ["model=openai", "model.name=m", f"model.base_url={api.base_url}"]
        done = run(installed, tmp_path, "run", *words, "limit=1", "run_dir=out")
    assert done.returncode == 0, done.stderr
    assert {seen.headers["X-Stainless-Lang"] for seen in api.seen} == {"python"}
    assert "8 " in done.stdout
    assert (tmp_path / "out" / "episodes.jsonl").read_text().count("\n") == 8


@pytest.mark.timeout(300)
@pytest.mark.slow  # as the first one, it builds the wheel
def test_the_wheel_declares_its_extras(installed: Path) -> None:
    program = (
        "from importlib.metadata import metadata; found = metadata('codeact');"
        "print(*found.get_all('Provides-Extra'), *found.get_all('Requires-Dist'), sep='\\n')"
    )
    python = installed.parent / "python"
    declared = subprocess.check_output([str(python), "-c", program], text=True).splitlines()
    assert {"anthropic", "repl", "vllm"} <= set(declared)
    (vllm,) = [line for line in declared if line.startswith("vllm>")]
    assert "extra == 'vllm'" in vllm
    (openai,) = [line for line in declared if line.startswith("openai")]
    assert openai.startswith("openai[aiohttp]")
    assert "extra" not in openai.partition(";")[2]


@pytest.mark.timeout(300)
@pytest.mark.usefixtures("local_sandbox")
def test_a_users_folder_and_plugin_extend_it(installed: Path, tmp_path: Path) -> None:
    shutil.copytree(EXAMPLE / "conf", tmp_path / "mine")
    raw = f"raw={EXAMPLE / 'raw'}"
    done = run(installed, tmp_path, "prepare", "task=roman", raw, "out=data")
    assert done.returncode == 0, done.stderr
    words = ["run", "--config-dir", "mine", "model=roman", "task=roman", "prompt=brief"]
    done = run(installed, tmp_path, *words, "tracker=lines", "run_dir=out")
    assert done.returncode == 0, done.stderr
    records = (tmp_path / "out" / "episodes.jsonl").read_text()
    assert records.count("task_success") == 3
    assert "MCMXCIX" in records
    *_, last = (tmp_path / "out" / "rows.jsonl").read_text().splitlines()
    assert '"success_rate": 1.0' in last


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
