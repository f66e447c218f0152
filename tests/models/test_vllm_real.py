"""`model=vllm` with vLLM itself, on the CPU: for who names an interpreter that has it."""

import os
import signal
import subprocess
import threading
from pathlib import Path

import psutil
import pytest
import yaml

from codeact.cli import main
from codeact.episode.messages import Message
from codeact.episode.tokens import TokenLog, unpack_ids
from codeact.models.base import EpisodeKey, Request
from codeact.models.openai.settings import OpenAISettings
from codeact.models.vllm.settings import VllmSettings
from codeact.recordings.run_folder import EPISODES, latest_records
from tests.helpers.vllm_runs import wait_for

PYTHON = os.environ.get("CODEACT_VLLM_PYTHON", "")
LAUNCHER = Path(__file__).parents[2] / "launchers" / "tiny_model.py"
ARGS = "max_model_len: 4096, enforce_eager: true, kv_cache_memory_bytes: 67108864, max_num_seqs: 8"
ENV = "HF_HUB_OFFLINE: '1', OMP_NUM_THREADS: '1', VLLM_CPU_OMP_THREADS_BIND: nobind"

pytestmark = [
    pytest.mark.usefixtures("local_sandbox"),
    pytest.mark.skipif(
        not PYTHON, reason="CODEACT_VLLM_PYTHON does not name an interpreter that has vllm-cpu"
    ),
]


def servers_of(model: Path) -> list[psutil.Process]:
    """The server processes themselves, without their keepers and what they started."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if words[1:2] == ["-m"] and str(model) in words:
            found.append(process)
    return sorted(found, key=lambda process: process.pid)


def tiny_model(folder: Path, *words: str) -> Path:
    model = folder / "tiny"
    subprocess.run([PYTHON, str(LAUNCHER), str(model), *words], check=True, timeout=120)
    return model


@pytest.mark.timeout(900)
def test_a_run_over_two_servers_outlives_one_of_them(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    model, run_dir = tiny_model(tmp_path), tmp_path / "run"
    descendants: list[psutil.Process] = []

    def kill_one() -> None:
        episodes = run_dir / EPISODES
        wait_for(lambda: episodes.exists() and episodes.read_bytes().count(b"\n") >= 10, 600)
        servers = servers_of(model)
        for server in servers:
            descendants.extend([server, *server.children(recursive=True)])
        os.kill(servers[0].pid, signal.SIGKILL)

    thread = threading.Thread(target=kill_one)
    thread.start()
    status = main(
        [
            "run",
            *("model=vllm", f"model.model={model}", "model.name=tiny", "model.gpus=0"),
            *("model.servers=2", f"model.python={PYTHON}", f"model.log_dir={tmp_path}"),
            *(f"+model.args={{{ARGS}}}", f"+model.env={{{ENV}}}"),
            *("model.sampling.max_tokens=64", "model.overflow=shrink"),
            *("task=gsm8k", "task.sets.gsm8k.path=pkg://codeact.sample/tasks/gsm8k.jsonl"),
            *("samples=10", "tracker=none", "compute.concurrency=8", f"run_dir={run_dir}"),
        ]
    )
    thread.join()
    said = capfd.readouterr().err
    assert status == 0, said
    assert "was killed by signal 9; starting it again (1 of 3 times)" in said
    records = latest_records(run_dir)
    assert len(records) == 80
    assert {record.outcome.cause for record in records} <= {None, "model"}
    assert len(descendants) >= 4
    assert wait_for(lambda: not any(process.is_running() for process in descendants), 20)


@pytest.mark.timeout(900)
async def test_either_transport_gets_the_same_answer_from_it(tmp_path: Path) -> None:
    model = tiny_model(tmp_path)
    settings = VllmSettings.model_validate(
        {
            **{"kind": "vllm", "model": str(model), "name": "tiny", "gpus": 0, "python": PYTHON},
            **{"args": yaml.safe_load(f"{{{ARGS}}}"), "env": yaml.safe_load(f"{{{ENV}}}")},
            **{"sampling": {"max_tokens": 64}, "log_dir": str(tmp_path)},
        }
    )
    request = Request(({"role": "user", "content": "hello"},), (), EpisodeKey("t", "1"), 0)
    answers = []
    async with settings.served(print) as endpoint:
        for transport in ("lean", "sdk"):
            client = endpoint.model_copy(update={"transport": transport}).create()
            await client.check()
            answers.append(await client.complete(request))
            await client.close()
    assert answers[0].text == answers[1].text != ""
    assert answers[0].usage == answers[1].usage
    assert answers[0].usage.completion > 0


@pytest.mark.timeout(900)
async def test_exact_tokens_of_it_extend_one_another(tmp_path: Path) -> None:
    model = tiny_model(tmp_path, "--bytes")
    pattern = r"<think> [a-z ]{20,40} </think>\n<execute> print\([0-9]{1,4}\) </execute>"
    settings = VllmSettings.model_validate(
        {
            **{"kind": "vllm", "model": str(model), "name": "tiny", "gpus": 0, "python": PYTHON},
            **{"args": yaml.safe_load(f"{{{ARGS}}}"), "env": yaml.safe_load(f"{{{ENV}}}")},
            **{"tokens": "exact", "log_dir": str(tmp_path)},
        }
    )
    shares, checked = {}, 0
    async with settings.served(print) as endpoint:
        assert isinstance(endpoint, OpenAISettings)
        assert endpoint.tokenizer == str(model)
        for api, stripped in (("chat", False), ("chat", True), ("completion", False)):
            extra = {
                "structured_outputs": {"regex": pattern},
                "chat_template_kwargs": {"strip_reasoning": stripped},
            }
            sampling = endpoint.sampling.model_copy(update={"extra": extra})
            client = endpoint.model_copy(update={"sampling": sampling, "api": api}).create()
            await client.check()
            log, messages = TokenLog(), [Message(role="user", content="hello")]
            for turn in range(4):
                request = Request(tuple(messages), (), EpisodeKey("t", "1"), turn)
                answer = await client.complete(request)
                assert answer.tokens is not None
                assert answer.usage.prompt == len(unpack_ids(answer.tokens.prompt))
                assert answer.usage.completion == len(unpack_ids(answer.tokens.sampled))
                log.add(turn, answer.tokens)
                messages += [
                    Message(role="assistant", content=answer.text),
                    Message(role="user", content="go on"),
                ]
            await client.close()
            shares[api, stripped] = log.report.extending
            checked += log.report.checked
            assert log.report.unlike == 0
    assert shares == {("chat", False): 3, ("chat", True): 0, ("completion", False): 0}
    assert checked == 12
