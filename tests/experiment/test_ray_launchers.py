"""What starts clusters: run where one machine is enough, checked against schemas elsewhere."""

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from codeact.commands.arguments import configurations, parse
from codeact.experiment.config.compute import RayCompute
from codeact.experiment.config.schema import RunConfig
from codeact.recordings.run_folder import latest_records
from tests.helpers.ports import free_port

LAUNCHERS = Path(__file__).parents[2] / "launchers"
SUBMIT = LAUNCHERS / "job_submit" / "submit.sh"
WORDS = ["model=scripted", "task=gsm8k", "tracker=none"]
WORDS += ["task.sets.gsm8k.path=pkg://codeact.sample/tasks/gsm8k.jsonl"]
PROGRAMS = f"{Path(sys.executable).parent}:{os.environ['PATH']}"


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """Paths of Ray's sockets have to be short."""
    folder = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def composed(words: list[str]) -> RunConfig:
    ((_, config),) = configurations("run", parse("run", words), RunConfig)
    assert isinstance(config.compute, RayCompute)
    assert Path(config.run_dir).is_absolute()
    assert Path(config.data).is_absolute()
    return config


def commands_in(readme: Path) -> list[list[str]]:
    """The words given to submit.sh in a README."""
    text = readme.read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.startswith("launchers/job_submit/submit")]
    return [shlex.split(line)[1:] for line in lines]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "give run_dir=/absolute/folder"),
        (["run_dir=runs/one"], "run_dir=runs/one: "),
        (["run_dir=/runs/one", "data=data"], "data=data: "),
    ],
)
def test_submit_refuses_what_would_be_lost_with_the_job(words: list[str], said: str) -> None:
    done = subprocess.run(
        ["sh", str(SUBMIT), *words],
        env={**os.environ, "RAY_ADDRESS": "http://127.0.0.1:9"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert said in done.stderr


@pytest.mark.timeout(600)
@pytest.mark.skipif("CODEACT_SLOW_TESTS" not in os.environ, reason="a minute: CODEACT_SLOW_TESTS=1")
@pytest.mark.usefixtures("local_sandbox")
def test_the_slurm_script_starts_two_nodes_plays_and_ends_them(
    tmp_path: Path, short_folder: Path
) -> None:
    """The other node is on this machine, too; what is Slurm's own is a command's prefix."""
    done = subprocess.run(
        [str(LAUNCHERS / "slurm" / "with_ray.sh"), f"run_dir={tmp_path}/run", *WORDS],
        env={
            **os.environ,
            "PATH": PROGRAMS,
            "NODES": "2",
            "CPUS": "2",
            "ON_THE_OTHERS": "env --",
            "PORT": str(free_port()),
            "RAY_FOLDER": str(short_folder / "ray"),
        },
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(latest_records(tmp_path / "run")) == 8
    told = (tmp_path / "run" / "provenance.json").read_text()
    assert '"nodes": 2' in told
    assert not (short_folder / "ray").exists()


def test_the_sbatch_files_run_composes() -> None:
    text = (LAUNCHERS / "slurm" / "run.sbatch").read_text()
    words = shlex.split(text.partition("RUN=(")[2].partition(")")[0])
    config = composed(["compute=ray", *words])
    nodes = int(text.partition("--nodes=")[2].split()[0])
    assert isinstance(config.compute, RayCompute)
    assert config.compute.workers == nodes
    subprocess.run(["bash", "-n", str(LAUNCHERS / "slurm" / "run.sbatch")], check=True)


def test_the_rayjob_is_what_kuberay_takes_and_its_entrypoint_composes() -> None:
    import ray

    job = yaml.safe_load((LAUNCHERS / "kuberay" / "rayjob.yaml").read_text())
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    program, command, *words = shlex.split(job["spec"]["entrypoint"])
    assert (program, command) == ("codeact", "run")
    config = composed(words)
    cluster = job["spec"]["rayClusterSpec"]
    assert cluster["rayVersion"] == ray.__version__
    (group,) = cluster["workerGroupSpecs"]
    assert isinstance(config.compute, RayCompute)
    assert config.compute.workers == group["replicas"] == group["minReplicas"]
    (head,) = _containers(cluster["headGroupSpec"])
    (worker,) = _containers(group)
    assert head["image"] == worker["image"]
    assert head["env"] == worker["env"]
    (mount,) = head["volumeMounts"]
    assert config.run_dir.startswith(mount["mountPath"])
    assert config.data.startswith(mount["mountPath"])


def _containers(group: dict[str, Any]) -> list[dict[str, Any]]:
    containers: list[dict[str, Any]] = group["template"]["spec"]["containers"]
    return containers


@pytest.mark.parametrize("name", ["own_machines", "aws"])
def test_the_cluster_files_are_what_ray_up_takes(name: str) -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    config = yaml.safe_load((LAUNCHERS / "ray_cluster" / f"{name}.yaml").read_text())
    prepared = prepare_config(config)
    validate_config(prepared)
    for command in (*config["head_start_ray_commands"], *config["worker_start_ray_commands"]):
        assert subprocess.run(["sh", "-n", "-c", command], check=False).returncode == 0, command


@pytest.mark.parametrize("folder", ["ray_cluster", "job_submit"])
def test_the_commands_in_the_readmes_compose(folder: str) -> None:
    commands = commands_in(LAUNCHERS / folder / "README.md")
    assert commands
    for words in commands:
        composed(["compute=ray", *words])
