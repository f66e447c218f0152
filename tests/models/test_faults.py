"""A whole run through a server that fails half of the time."""

import random
from collections import Counter
from pathlib import Path

import pytest

from codeact.cli import main
from codeact.models.remote import client as remote_client
from codeact.recordings.run_folder import read_records
from tests.helpers.fake_anthropic import FakeAnthropic
from tests.helpers.fake_api import FakeApi, Reply, Seen
from tests.helpers.serving import threaded


@pytest.mark.parametrize("model", ["server", "openai", "anthropic"])
@pytest.mark.usefixtures("local_sandbox")
def test_a_run_through_a_storm_ends_with_every_episode_finished_once(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    monkeypatch.setattr(remote_client, "_FIRST_PAUSE", 0.01)
    monkeypatch.setattr(remote_client, "_LONGEST_PAUSE", 0.1)
    dice = random.Random(11)
    faults: list[Reply | None] = [
        *[Reply(status=429, headers={"Retry-After": "0"})] * 30,
        *[Reply(status=500)] * 10,
        *[Reply(hang="before")] * 2,
        *[Reply(cut=True)] * 2,
        *[None] * 56,
    ]
    met: Counter[int | str] = Counter()

    def reply(seen: Seen, number: int) -> Reply:
        fault = dice.choice(faults)
        if fault is not None:
            met[fault.hang or ("cut" if fault.cut else fault.status)] += 1
            return fault
        first = len(seen.body["messages"]) == 1
        return Reply(text="<execute> 6 * 7 </execute>" if first else "<solution> 1 </solution>")

    server = FakeAnthropic if model == "anthropic" else FakeApi
    with threaded(server(reply)) as api:
        words = ["run", f"model={model}", "model.name=m", f"model.base_url={api.base_url}"]
        words += ["task=gsm8k", "task.sets.gsm8k.path=pkg://codeact.sample/tasks/gsm8k.jsonl"]
        words += ["executor.preload=[]", "executor.warm=1"]
        words += ["samples=4", "turns=max2_p2", "model.timeout.total=1.0", "model.max_retries=20"]
        assert main([*words, f"run_dir={tmp_path}"]) == 0
    records = list(read_records(tmp_path))
    played = Counter((record.task_id, record.sample) for record in records)
    assert len(played) == 32
    assert set(played.values()) == {1}
    assert {record.outcome.cause for record in records} == {None}
    assert {record.outcome.terminate_reason for record in records} == {"max_steps"}
    assert {len(record.attempts) for record in records} == {0}
    assert set(met) == {429, 500, "before", "cut"}
