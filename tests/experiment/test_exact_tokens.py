"""Runs with model.tokens=exact: what is recorded, and what breaks the prefix of a prompt."""

import contextlib
import io
import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from codeact.cli import main
from codeact.episode.prompts import CodeStrategy, PromptStrategy, VerbatimStrategy
from codeact.episode.record import EpisodeRecord
from codeact.episode.tokens import PrefixBreak, unpack_ids
from codeact.exceptions import ConfigError
from codeact.experiment.compute.local import identity_of
from codeact.experiment.driver import Environment, play_episode
from codeact.experiment.plan import make_plan
from codeact.models.base import Request
from codeact.models.openai import tokens as exact_tokens
from codeact.models.openai.settings import OpenAISettings
from codeact.recordings.run_folder import latest_records
from codeact.recordings.token_file import read_tokens
from tests.helpers.fake_api import Reply
from tests.helpers.records import configured
from tests.helpers.sandboxes import NoSandbox
from tests.helpers.serving import threaded
from tests.helpers.toy_vllm import ANSWER, CELL, END, THOUGHT, ToyVllm

pytestmark = pytest.mark.usefixtures("local_sandbox")

VERBATIM = "prompt=code_verbatim"
WRONG = "I think it is <solution> 0 </solution>"
CONFIG = configured("task=gsm8k", "task.sets.gsm8k.path=pkg://codeact.sample/tasks/gsm8k.jsonl")


async def answered(toy: ToyVllm, strategy: PromptStrategy, **settings: Any) -> EpisodeRecord:
    """Play an episode of two wrong answers, one for each turn."""
    plan = make_plan(CONFIG)
    async with toy.api as api:
        given = {"kind": "openai", "name": "m", "base_url": api.base_url, "tokens": "exact"}
        client = OpenAISettings.model_validate(given | settings).create()
        environment = Environment(
            identity_of(CONFIG), CONFIG.episode, strategy, client, None, NoSandbox(), plan.tools
        )
        record = await play_episode(plan.assignments[0], environment)
        await client.close()
    assert record.outcome.terminate_reason == "max_propose_steps", record.outcome
    assert record.token_report is not None
    return record


def first_break(record: EpisodeRecord) -> PrefixBreak:
    """The one break of two requests."""
    report = record.token_report
    assert report is not None
    assert (report.requests, report.followers, report.extending) == (2, 1, 0)
    assert report.first_break is not None
    return report.first_break


def extends(record: EpisodeRecord) -> bool:
    report = record.token_report
    return report is not None and report.followers == report.extending == 1


class Run(NamedTuple):
    """A run of one episode as a user plays it, whose prompts all extend one another."""

    toy: ToyVllm
    folder: Path
    said: str


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("exact")
    toy, said = ToyVllm(folder, [CELL, CELL, ANSWER]), io.StringIO()
    words = [VERBATIM, f"model.tokenizer={toy.folder}", f"run_dir={folder / 'run'}"]
    with threaded(toy.api), contextlib.redirect_stdout(said):
        assert main(toy.words(*words)) == 0
    return Run(toy, folder / "run", said.getvalue())


def test_what_a_model_wrote_comes_back_id_by_id(run: Run) -> None:
    (record,), (tokens,) = latest_records(run.folder), read_tokens(run.folder)
    for turn, one, prompt in zip(record.turns, tokens.turns, tokens.prompts(), strict=True):
        assert turn.message is not None
        assert run.toy.text(one.sampled) == record.messages[turn.message]["content"] + END
        assert run.toy.text(prompt) == run.toy.prompt(record.messages[: turn.message])
        assert (len(prompt), len(one.sampled)) == (turn.usage.prompt, turn.usage.completion)
    assert len(tokens.turns) > 2
    assert tokens.turns[0].temperature == 0.0


def test_a_run_says_what_its_tokens_come_to(run: Run) -> None:
    found = json.loads((run.folder / "summary.json").read_text())["tokens"]
    (record,) = latest_records(run.folder)
    assert found["share_extending"] == 1.0
    assert found["first_break"] is None
    assert (found["checked"], found["unlike"]) == (len(record.turns), 0)
    sums = (found["prompt"], found["sampled"])
    assert sums == (found["reported_prompt"], found["reported_sampled"])
    assert f"exact tokens: {sums[0]:,} read and {sums[1]:,} sampled\n" in run.said
    assert "(100.0%); 0 of 1 episodes break" in run.said


async def test_the_line_that_code_adds_breaks_the_prefix(tmp_path: Path) -> None:
    record = await answered(ToyVllm(tmp_path, [WRONG]), CodeStrategy())
    where = first_break(record)
    assert (where.turn, where.place) == (2, "sampled")
    assert where.seen.startswith("ant\nI think it is")
    assert where.sent.startswith("ant\nAssistant:\nI think")
    assert extends(await answered(ToyVllm(tmp_path, [WRONG]), VerbatimStrategy()))


async def test_a_template_that_strips_reasoning_breaks_the_prefix(tmp_path: Path) -> None:
    texts = [THOUGHT + WRONG]
    stripping = ToyVllm(tmp_path, texts, keep_reasoning=False)
    where = first_break(await answered(stripping, VerbatimStrategy()))
    assert "<think> I multi" in where.seen
    assert "<think>" not in where.sent
    assert extends(await answered(ToyVllm(tmp_path, texts), VerbatimStrategy()))


async def test_a_stop_string_that_is_cut_off_breaks_the_prefix(tmp_path: Path) -> None:
    stopped = ToyVllm(tmp_path, [WRONG + "\nObservation: right"])
    record = await answered(stopped, VerbatimStrategy(), tokenizer=str(stopped.folder))
    where = first_break(record)
    assert where.seen == "ion>\nObservation:"
    assert where.sent.startswith(f"ion>{END}\n")
    assert isinstance(record.tokens, list)
    assert stopped.text(unpack_ids(record.tokens[0].sampled)) == WRONG + "\nObservation:"
    assert record.token_report is not None
    assert record.token_report.checked == 2
    assert record.token_report.unlike == 0, "a text up to a stop string is its ids' own"


async def test_ids_that_a_tokenizer_would_not_choose_break_the_prefix(tmp_path: Path) -> None:
    split = ToyVllm(tmp_path, [WRONG], merged="th", split=True)
    where = first_break(await answered(split, VerbatimStrategy()))
    assert where.seen[:8] == where.sent[:8], "the same text of other ids"


@pytest.mark.parametrize("elsewhere", [Reply(status=404), Reply(hang="before")])
async def test_a_break_is_told_in_ids_where_nobody_knows_their_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, elsewhere: Reply
) -> None:
    """Nor does an episode wait long for a server that never tells."""
    monkeypatch.setattr(exact_tokens, "_DETOKENIZE_SECONDS", 0.05)
    toy = ToyVllm(tmp_path, [WRONG])
    toy.api.detokenize, toy.api.elsewhere = None, elsewhere
    where = first_break(await answered(toy, CodeStrategy()))
    assert where.seen.startswith("ids [")
    assert where.sent.startswith("ids [")


async def test_texts_that_are_not_those_of_their_ids_are_counted(tmp_path: Path) -> None:
    def spoil(answer: dict[str, Any], number: int) -> None:
        answer["choices"][0]["message"]["content"] += "!"

    toy = ToyVllm(tmp_path, [WRONG], spoil=spoil)
    report = (await answered(toy, CodeStrategy(), tokenizer=str(toy.folder))).token_report
    assert report is not None
    assert (report.checked, report.unlike) == (2, 2)


async def test_plain_completions_have_their_tokens_too(tmp_path: Path) -> None:
    toy = ToyVllm(tmp_path, [WRONG])
    record = await answered(toy, CodeStrategy(), api="completion")
    assert isinstance(record.tokens, list)
    assert toy.text(unpack_ids(record.tokens[0].prompt)).endswith("\n\nAssistant:")
    assert toy.text(unpack_ids(record.tokens[0].sampled)) == WRONG + END


def test_a_server_that_ignores_the_request_is_refused_at_the_start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def spoil(answer: dict[str, Any], number: int) -> None:
        del answer["prompt_token_ids"], answer["choices"][0]["token_ids"]

    toy = ToyVllm(tmp_path, spoil=spoil)
    with threaded(toy.api):
        assert main(toy.words(f"run_dir={tmp_path / 'run'}")) == 1
    said = capsys.readouterr().err
    assert "gives no prompt_token_ids and no token_ids" in said
    assert "model.tokens=null" in said
    assert [seen.body["max_tokens"] for seen in toy.api.seen] == [1], "one token is all it cost"
    assert not (tmp_path / "run").exists()


def test_tokens_that_stop_coming_are_a_failure_of_the_provider(tmp_path: Path) -> None:
    def spoil(answer: dict[str, Any], number: int) -> None:
        if number == 4:  # after the check, and one whole episode
            answer["choices"][0]["logprobs"] = None

    toy = ToyVllm(tmp_path, spoil=spoil)
    words = ["turns=max2_p1", "samples=3", "compute.concurrency=1", "max_consecutive_failures=null"]
    with threaded(toy.api):
        assert main(toy.words(*words, f"run_dir={tmp_path / 'run'}")) == 0
    records = latest_records(tmp_path / "run")
    (failed,) = [record for record in records if record.attempts]
    assert failed.attempts[0].cause == "provider"
    assert "gives no logprobs" in failed.attempts[0].error
    tokens = {one.episode: one for one in read_tokens(tmp_path / "run")}
    assert {record.id for record in records} == set(tokens)
    assert tokens[failed.id].attempt == 1
    every = [one.attempt for one in read_tokens(tmp_path / "run", failed=True)]
    assert sorted(every) == [0, 0, 0, 1], "what the failed attempt sampled is kept"


def test_cached_answers_have_their_tokens(tmp_path: Path) -> None:
    toy = ToyVllm(tmp_path)
    words = [f"cache={tmp_path / 'cache'}", VERBATIM, "turns=max2_p1"]
    with threaded(toy.api):
        for name in ("one", "two"):
            assert main(toy.words(f"run_dir={tmp_path / name}", *words)) == 0
            asked = toy.api.count
    assert asked == 2 + 2, "a token at each start, and two turns"
    (one,), (two,) = (list(read_tokens(tmp_path / name)) for name in ("one", "two"))
    assert one == two
    assert latest_records(tmp_path / "two")[0].turns[0].reused


def test_a_continued_episode_has_the_tokens_of_its_own_turns(run: Run, tmp_path: Path) -> None:
    toy = ToyVllm(tmp_path, [CELL, ANSWER])
    words = [VERBATIM, f"continue={run.folder}", "turn=1", f"run_dir={tmp_path / 'run'}"]
    with threaded(toy.api):
        assert main(toy.words(*words)) == 0
    (record,), (tokens,) = (latest_records(tmp_path / "run"), read_tokens(tmp_path / "run"))
    assert [turn.restored for turn in record.turns] == [True, False, False]
    assert [turn.turn for turn in tokens.turns] == [1, 2]
    assert tokens.turns[0].kept == 0
    assert CELL in toy.text(tokens.turns[0].prompt)


def test_a_folder_has_tokens_for_all_of_its_episodes_or_for_none(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    toy = ToyVllm(tmp_path)
    with threaded(toy.api):
        words = [VERBATIM, f"run_dir={run.folder}", "samples=2", "model.tokens=null"]
        assert main(toy.words(*words)) == 1
    assert 'model.tokens: "exact" there, nothing here' in capsys.readouterr().err
    assert toy.api.count == 0


def test_tokens_of_feedback_are_asked_for_in_vain() -> None:
    critic = ["feedback=textual", "model@feedback.model=server", "feedback.model.name=m"]
    with pytest.raises(ConfigError, match=r"feedback\.model\.tokens: only the policy's"):
        configured(*critic, "feedback.model.tokens=exact")


async def test_without_the_setting_requests_are_what_they_were(tmp_path: Path) -> None:
    plan, bodies = make_plan(CONFIG), []
    for tokens in (None, "exact"):
        toy = ToyVllm(tmp_path, [WRONG])
        async with toy.api as api:
            given = {"kind": "openai", "name": "m", "base_url": api.base_url, "tokens": tokens}
            client = OpenAISettings.model_validate(given).create()
            request = Request(({"role": "user", "content": "?"},), (), plan.assignments[0].key, 0)
            completion = await client.complete(request)
            await client.close()
        assert (completion.tokens is not None) == (tokens == "exact")
        bodies.append(toy.api.seen[0].body)
    exact = {"return_token_ids": True, "logprobs": True}
    assert bodies[1] == bodies[0] | exact
    assert not exact.keys() & bodies[0].keys()
