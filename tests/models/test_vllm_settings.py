"""What of `model=vllm` is refused, launched and part of an experiment's identity; no servers."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from codeact import ray_cluster as cluster
from codeact.cli import main
from codeact.exceptions import ModelUnavailable
from codeact.models.vllm.settings import VllmSettings


def settings(**given: Any) -> VllmSettings:
    return VllmSettings.model_validate({"kind": "vllm", "model": "org/m", "name": "m", **given})


@pytest.mark.parametrize(
    ("args", "problem"),
    [
        ({"port": 8000}, "port: set through codeact"),
        ({"served_model_name": "x"}, "served_model_name: set through model.name"),
        ({"api-key": "x"}, "no place for a secret"),
        ({"--seed": 1}, "without dashes in front"),
    ],
)
def test_flags_that_are_not_the_users_to_give_are_refused(
    args: dict[str, Any], problem: str
) -> None:
    with pytest.raises(ValidationError, match=problem):
        settings(args=args)


def test_a_secret_is_handed_on_and_not_written_down(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValidationError, match="HF_TOKEN: looks like a secret"):
        settings(env={"HF_TOKEN": "hf_123"})
    handing = settings(env={"HF_TOKEN": None, "TOKENIZERS_PARALLELISM": "false"})
    monkeypatch.setenv("HF_TOKEN", "hf_123")
    assert handing.variables()["HF_TOKEN"] == "hf_123"
    assert "hf_123" not in str(handing.model_dump())
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(ModelUnavailable, match="HF_TOKEN"):
        handing.variables()


def test_flags_become_words() -> None:
    args = {
        "max_model_len": 2048,
        "enforce-eager": True,
        "enable_prefix_caching": False,
        "seed": None,
        "hf_overrides": {"a": 1},
        "lora_modules": ["a=b", "c=d"],
    }
    words = settings(gpus=2, args=args).command()
    assert words[:6] == (
        *("-m", "vllm.entrypoints.openai.api_server"),
        *("--model", "org/m", "--served-model-name", "m"),
    )
    assert words[6:] == (
        *("--max-model-len", "2048", "--enforce-eager", "--no-enable-prefix-caching"),
        *("--hf-overrides", '{"a": 1}', "--lora-modules", "a=b", "c=d"),
        *("--tensor-parallel-size", "2"),
    )
    assert "--tensor-parallel-size" not in settings(gpus=0).command()
    assert settings(gpus=8, args={"tensor_parallel_size": 4}).command()[-1] == "4"


def test_how_a_model_is_run_does_not_change_what_an_experiment_is() -> None:
    plain = settings().identity()
    moved = settings(
        servers=4, gpus=2, python="/p", env={"A": "b"}, restarts=0, log_dir="/l", concurrency=3
    )
    assert moved.identity() == plain
    assert settings(args={"max_num_seqs": 8, "enforce_eager": True}).identity() == plain
    assert settings(model="org/other").identity() != plain
    shorter = settings(args={"max_model_len": 2048}).identity()
    assert shorter != plain
    assert settings(args={"max-model-len": 2048}).identity() == shorter


def test_the_client_outlasts_a_restart_and_knows_every_server() -> None:
    urls = ["http://10.0.0.1:1/v1", "http://10.0.0.2:2/v1"]
    client = settings(start_seconds=600.0, concurrency=10).client(urls)
    assert client.addresses == urls
    assert client.concurrency == 10
    assert client.max_retries >= 600 / 30


# Before anything is started

RUN = ["run", "model=vllm", "model.name=m", "model.gpus=0", "tracker=none", "run_dir=/nowhere/run"]


@pytest.fixture
def no_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray must not be started, nor asked for."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("Ray was started")

    monkeypatch.setattr(cluster, "connect", refuse)
    monkeypatch.setattr("codeact.experiment.compute.ray.connect", refuse)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)


@pytest.mark.usefixtures("no_ray", "local_sandbox")
@pytest.mark.parametrize("compute", ["local", "ray"])
@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["model.model=org/m"], ["has no vLLM", "model.python", "model=server"]),
        (["model.model=/no/such/m"], ["model.model=/no/such/m does not exist", "hub id"]),
        (["model.model=org/m", "+model.env.NO_KEY=null"], ["NO_KEY", "not set here"]),
        (["model.model=org/m", "model.python=/no/python"], ["/no/python cannot be started"]),
    ],
    ids=["no vllm", "no model", "no key", "no interpreter"],
)
def test_what_a_server_here_lacks_is_refused_before_ray_starts(
    words: list[str], told: list[str], compute: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*RUN, *words, f"compute={compute}"]) == 1
    said = capsys.readouterr().err
    assert all(word in said for word in told), said


def test_other_machines_may_have_what_this_one_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    settings(model="/no/such/m").preflight(here=False)
    with pytest.raises(ModelUnavailable):
        settings(model="/no/such/m").preflight(here=True)
    monkeypatch.setattr(cluster.sys, "modules", {})
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    assert not cluster.starts_here()
    monkeypatch.delenv("RAY_ADDRESS")
    assert cluster.starts_here()
    assert not cluster.starts_here("10.0.0.1:6379")


def test_an_empty_folder_is_no_model_and_an_odd_one_is_for_vllm_to_judge(tmp_path: Path) -> None:
    (tmp_path / "vllm").mkdir()
    (tmp_path / "vllm" / "__init__.py").touch()
    has_vllm = {"PYTHONPATH": str(tmp_path)}
    (tmp_path / "m").mkdir()
    with pytest.raises(ModelUnavailable, match=r"has no config\.json"):
        settings(model=str(tmp_path / "m"), env=has_vllm).preflight(here=True)
    (tmp_path / "m" / "params.json").write_text("{}")
    settings(model=str(tmp_path / "m"), env=has_vllm).preflight(here=True)
    settings(model="org/m", env=has_vllm).preflight(here=True)
