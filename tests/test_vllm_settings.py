"""What of `model=vllm` is refused, launched and part of an experiment's identity; no servers."""

from typing import Any

import pytest
from pydantic import ValidationError

from codeact.edge.models.vllm_settings import VllmSettings
from codeact.exceptions import ModelUnavailable


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
