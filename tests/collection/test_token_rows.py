"""Exact tokens as rows for training: under the mask is what the policy wrote, and nothing else."""

import json
import tracemalloc
from itertools import compress, pairwise
from pathlib import Path
from typing import Any

import msgspec
import pyarrow.parquet as pq  # type: ignore[import-untyped]
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codeact.cli import main
from codeact.collection import token_rows
from codeact.collection.convert_settings import ConvertConfig
from codeact.collection.formats import convert_files
from codeact.collection.token_rows import TokenRow, TokenWriter, chains
from codeact.episode.effects import Outcome, Usage
from codeact.episode.record import Attempt
from codeact.exceptions import ConfigError, RecordingError, RunFolderError
from codeact.experiment.config.compose import Invocation, compose_config
from codeact.experiment.config.validation import validated
from codeact.recordings.run_folder import EPISODES
from codeact.recordings.token_units import TOKENS
from codeact.recordings.tokens import EpisodeTokens, TurnTokens
from tests.collection.test_collection import line, recorded
from tests.helpers.conversations import config
from tests.helpers.token_runs import STOP, Sampler, play

DOWN = Outcome(success=False, terminate_reason="error", cause="provider", error="down")
UNSOLVED = Outcome(success=False, terminate_reason="max_steps")


@pytest.fixture(scope="module")
def sampler(tmp_path_factory: pytest.TempPathFactory) -> Sampler:
    return Sampler(tmp_path_factory.mktemp("tokens") / "model")


def rows(out: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pq.read_table(out / "tokens.parquet").to_pylist()
    return found


def converted(run: Path, out: Path, *words: str) -> list[dict[str, Any]]:
    convert_files(config(run, out, "format=tokens", *words))
    return rows(out)


def written(row: dict[str, Any]) -> list[int]:
    return list(compress(row["token_ids"], row["loss_mask"]))


def test_ids_under_the_mask_decode_to_what_the_policy_wrote_with_its_stop_token(
    sampler: Sampler, tmp_path: Path
) -> None:
    record = sampler.record()
    (row,) = converted(play(tmp_path / "run", record), tmp_path / "out")
    first, second = sampler.texts["1"]
    assert sampler.text(written(row)) == first + second
    assert first.endswith(STOP)
    assert row["turns"] == [1, 2]
    assert row["finish_reasons"] == ["stop", "stop"]
    assert (row["reward"], row["advantage"], row["temperature"]) == (1.0, None, 0.75)
    assert (row["group"], row["episode"]) == ("gsm8k/1", record.id)
    assert (row["model"], row["revision"], row["chain"]) == ("m", "r1", 1)


def test_observations_prompts_and_role_headers_are_outside_the_mask(
    sampler: Sampler, tmp_path: Path
) -> None:
    (row,) = converted(play(tmp_path / "run", sampler.record()), tmp_path / "out")
    inside, outside = "", ""
    for one, sampled in zip(row["token_ids"], row["loss_mask"], strict=True):
        inside, outside = (
            (inside + sampler.text([one]), outside)
            if sampled
            else (inside, outside + sampler.text([one]))
        )
    assert "<|im_start|>" not in inside
    assert "Observation:" not in inside
    for said in ("Be brief.", "Add 1 and 1.", "Observation:\nOut[1]: 2", "<|im_start|>assistant\n"):
        assert said in outside
    assert "<execute>" not in outside


def test_masked_ids_are_as_many_as_the_server_counted_and_have_their_log_probabilities(
    sampler: Sampler, tmp_path: Path
) -> None:
    records = [sampler.record(), sampler.record("2", kept=False), sampler.record("3", stops=False)]
    found = converted(play(tmp_path / "run", *records), tmp_path / "out")
    for record in records:
        own = [row for row in found if row["episode"] == record.id]
        assert sum(len(written(row)) for row in own) == record.usage.completion
        logprobs = [one for row in own for one in compress(row["logprobs"], row["loss_mask"])]
        expected = [-0.5 * (n + 1) for turn in record.turns for n in range(turn.usage.completion)]
        assert logprobs == expected
    for row in found:
        assert not any(
            logprob
            for logprob, sampled in zip(row["logprobs"], row["loss_mask"], strict=True)
            if not sampled
        )


def test_a_row_ends_where_a_prompt_does_not_extend_it(sampler: Sampler, tmp_path: Path) -> None:
    record = sampler.record(kept=False)
    one, two = converted(play(tmp_path / "run", record), tmp_path / "out")
    assert (one["turns"], two["turns"], one["chain"], two["chain"]) == ([1], [2], 1, 2)
    assert [sampler.text(written(row)) for row in (one, two)] == sampler.texts["1"]
    assert "I add." not in sampler.text(two["token_ids"])


def episode(*requests: tuple[list[int], list[int]], temperature: float | None = 1.0) -> Any:
    """Tokens of requests, each a whole prompt and what was sampled."""
    seen: list[int] = []
    turns = []
    for number, (prompt, sampled) in enumerate(requests):
        kept = next(
            (n for n, (a, b) in enumerate(zip(seen, prompt, strict=False)) if a != b),
            min(len(seen), len(prompt)),
        )
        turns.append(
            TurnTokens(
                turn=number,
                kept=kept,
                prompt=prompt[kept:],
                sampled=sampled,
                logprobs=[-1.0] * len(sampled),
                finish_reason="stop",
                temperature=temperature,
            )
        )
        seen = prompt + sampled
    return EpisodeTokens(episode="e", attempt=0, model="m", revision=None, turns=turns)


def test_a_turn_joins_the_longest_row_that_its_prompt_extends() -> None:
    found = chains(episode(([1], [2]), ([9], [8]), ([1, 2, 3], [4]), ([1, 2, 3, 4, 5], [6])))
    assert [one.ids for one in found] == [[1, 2, 3, 4, 5, 6], [9, 8]]
    assert [one.turns for one in found] == [[1, 3, 4], [2]]
    # [1] alone is a shorter row that the third prompt extends as well.
    short, longer = chains(episode(([1], []), ([1, 2], [3]), ([1, 7], [8]), ([1, 2, 3], [4])))
    assert (short.ids, longer.ids) == ([1, 2, 3, 4], [1, 7, 8])


def test_turns_of_other_temperatures_are_other_rows() -> None:
    made = episode(([1], [2]), ([1, 2, 3], [4]))
    made.turns[1] = msgspec.structs.replace(made.turns[1], temperature=0.0)
    assert [one.temperature for one in chains(made)] == [1.0, 0.0]


IDS = st.lists(st.integers(0, 3), max_size=4)


@given(st.lists(st.tuples(IDS, IDS), min_size=1, max_size=6))
def test_every_sampled_id_is_in_one_row_behind_its_own_prompt(
    requests: list[tuple[list[int], list[int]]],
) -> None:
    found = chains(episode(*requests))
    assert sorted(turn for one in found for turn in one.turns) == [*range(1, len(requests) + 1)]
    for one in found:
        assert len(one.ids) == len(one.sampled) == len(one.logprobs)
        assert one.turns == sorted(one.turns)
        assert sum(one.sampled) == sum(len(requests[turn - 1][1]) for turn in one.turns)
        prompt, sampled = requests[one.turns[-1] - 1]
        assert one.ids == prompt + sampled
        for before, after in pairwise(one.turns):
            extended = [*requests[before - 1][0], *requests[before - 1][1]]
            assert requests[after - 1][0][: len(extended)] == extended


# What is left out, and what is wrong


def test_failures_that_are_not_the_policys_are_left_out_and_counted(
    sampler: Sampler, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = play(
        tmp_path / "run",
        sampler.record("1"),
        sampler.record("2", outcome=UNSOLVED),
        sampler.record("3", outcome=DOWN),
        sampler.record("4", edited=1),
    )
    assert main(["convert", str(run), f"out={tmp_path / 'out'}", "format=tokens"]) == 0
    assert {row["group"]: row["reward"] for row in rows(tmp_path / "out")} == {
        "gsm8k/1": 1.0,
        "gsm8k/2": 0.0,
    }
    said = capsys.readouterr().out
    assert "left out: 1 edited by a person, 1 failed by the provider" in said
    report = json.loads((tmp_path / "out" / "conversion.json").read_text())["tokens"]
    assert report["left_out"] == {"edited by a person": 1, "failed by the provider": 1}
    assert report["trained"] == report["reported"] > 0
    assert "accounts" not in said
    solved = converted(run, tmp_path / "solved", "episodes=solved")
    assert [row["group"] for row in solved] == ["gsm8k/1"]
    every = converted(run, tmp_path / "all", "episodes=all")
    assert [row["reward"] for row in every] == [1.0, 0.0, None, None]


def test_the_last_attempt_and_the_last_record_count(sampler: Sampler, tmp_path: Path) -> None:
    failed = sampler.record("1", outcome=DOWN)
    play(tmp_path / "run", failed)
    again = sampler.record("1")
    again.attempts = [Attempt(cause="provider", error="x", tokens=failed.tokens)]
    play(tmp_path / "run", again, session=2)
    (row,) = converted(tmp_path / "run", tmp_path / "out")
    assert (row["attempt"], row["reward"]) == (1, 1.0)


def test_a_unit_without_a_record_and_a_record_without_a_unit_are_said(
    sampler: Sampler, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = play(tmp_path / "run", sampler.record("1"), sampler.record("2"))
    lines = (run / EPISODES).read_bytes().splitlines(keepends=True)
    bare = play(tmp_path / "other", sampler.record("3"))
    (run / EPISODES).write_bytes(lines[0] + (bare / EPISODES).read_bytes())
    assert main(["convert", str(run), f"out={tmp_path / 'out'}", "format=tokens"]) == 1
    said = capsys.readouterr().err
    assert f"{run / TOKENS}, episode gsm8k/2/" in said
    assert "has tokens and no record" in said
    assert f"{run / EPISODES}:2: episode gsm8k/3/" in said
    assert [row["group"] for row in rows(tmp_path / "out")] == ["gsm8k/1"]


def test_a_broken_line_is_said_and_the_rest_converted(
    sampler: Sampler, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By rows and by trajectories alike."""
    run = play(tmp_path / "run", *(sampler.record(number) for number in "123"))
    one, two, three = (run / EPISODES).read_bytes().splitlines(keepends=True)
    (run / EPISODES).write_bytes(one + two[: len(two) // 2] + b"\n" + three)
    assert main(["convert", str(run), f"out={tmp_path / 'out'}", "format=tokens"]) == 1
    said = capsys.readouterr().err
    assert f"{run / EPISODES}:2: is no episode record" in said
    assert "has tokens and no record: see the line that cannot be read" in said
    assert [row["group"] for row in rows(tmp_path / "out")] == ["gsm8k/1", "gsm8k/3"]
    assert main(["convert", str(run), f"out={tmp_path / 'atif'}", "format=atif"]) == 1
    assert f"{run / EPISODES}:2: is no episode record" in capsys.readouterr().err
    made = [json.loads(file.read_text()) for file in (tmp_path / "atif").glob("gsm8k-*.json")]
    assert len(made) == 2
    assert all("completion_token_ids" in json.dumps(one) for one in made)


def test_what_a_crash_lost_and_was_played_again_is_counted(
    sampler: Sampler, tmp_path: Path
) -> None:
    run = play(tmp_path / "run", sampler.record("1"))
    (run / EPISODES).write_bytes(b"")
    play(run, sampler.record("1"), session=2)
    done = convert_files(config(run, tmp_path / "out", "format=tokens"))
    assert done.problems == []
    assert done.tokens is not None
    assert done.tokens.left_out == {"lost by a crash and played again": 1}
    assert len(rows(tmp_path / "out")) == 1


def test_a_turn_without_tokens_leaves_its_episode_out(sampler: Sampler, tmp_path: Path) -> None:
    record = sampler.record("1")
    record.tokens = record.tokens[:1]  # type: ignore[index]
    run = play(tmp_path / "run", record, sampler.record("2"))
    done = convert_files(config(run, tmp_path / "out", "format=tokens"))
    assert "has no tokens of turn 2" in done.problems[0].reason
    assert [row["group"] for row in rows(tmp_path / "out")] == ["gsm8k/2"]


def test_restored_turns_are_prompt_and_no_part_of_the_account(
    sampler: Sampler, tmp_path: Path
) -> None:
    record = sampler.record()
    assert isinstance(record.tokens, list)
    first, last = record.tokens
    record.turns[0].restored = True
    before = first.prompt + first.sampled
    record.tokens = [msgspec.structs.replace(last, kept=0, prompt=before + last.prompt)]
    run = play(tmp_path / "run", record)
    done = convert_files(config(run, tmp_path / "out", "format=tokens"))
    (row,) = rows(tmp_path / "out")
    assert row["turns"] == [2]
    assert sampler.text(written(row)) == sampler.texts["1"][1]
    assert sampler.texts["1"][0] in sampler.text(row["token_ids"])
    assert done.tokens is not None
    assert (done.problems, done.tokens.differing) == ([], 0)


def test_another_number_by_the_servers_own_account_is_shown(
    sampler: Sampler, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = sampler.record()
    ids = record.usage.completion
    record.usage = Usage(record.usage.prompt, ids - 2)
    run = play(tmp_path / "run", record)
    assert main(["convert", str(run), f"out={tmp_path / 'out'}", "format=tokens"]) == 0
    said = capsys.readouterr().out
    assert f"{ids} trained" in said
    assert f"the servers' own accounts say {ids - 2}; for 1 episodes" in said


@pytest.mark.parametrize(("wrong", "words"), [(1 << 31, "0 to 2147483647"), (4000, "0 to 258")])
def test_ids_beyond_what_they_can_be_are_refused_with_their_place(
    wrong: int, words: str, sampler: Sampler, tmp_path: Path
) -> None:
    record = sampler.record()
    assert isinstance(record.tokens, list)
    turn = record.tokens[1]
    sampled = wrong.to_bytes(4, "little") + turn.sampled[4:]
    record.tokens[1] = msgspec.structs.replace(turn, sampled=sampled)
    run = play(tmp_path / "run", record, sampler.record("2"))
    done = convert_files(
        config(run, tmp_path / "out", "format=tokens", f"tokenizer={sampler.folder}")
        if wrong == 4000
        else config(run, tmp_path / "out", "format=tokens")
    )
    (problem,) = done.problems
    assert problem.place == f"{run / TOKENS}, episode {record.id}"
    assert f"id {wrong} at place 1 of the new part of the answer of turn 2" in problem.reason
    assert words in problem.reason


@pytest.mark.parametrize(
    ("logprobs", "words"),
    [([-1.0], "1 log probabilities for 2 ids"), ([0.0, float("nan")], "no finite number")],
)
def test_log_probabilities_that_are_none_are_refused(logprobs: list[float], words: str) -> None:
    made = episode(([1], [2, 3]))
    made.turns[0] = msgspec.structs.replace(made.turns[0], logprobs=logprobs)
    with pytest.raises(ValueError, match=words):
        chains(made)


def test_a_run_without_exact_tokens_and_a_published_file_are_refused(
    sampler: Sampler, tmp_path: Path
) -> None:
    run = play(tmp_path / "run", sampler.record())
    (run / TOKENS).unlink()
    with pytest.raises(RunFolderError, match=r"played without model\.tokens=exact"):
        convert_files(config(run, tmp_path / "out", "format=tokens"))
    assert not (tmp_path / "out").exists()
    published = recorded(tmp_path / "tree", line(1))
    with pytest.raises(RecordingError, match="is a published file, which has no exact tokens"):
        convert_files(config(published, tmp_path / "out", "format=tokens"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("reasoning=drop",), "tokens are as sampled"),
        (("mix=[{path: x, count: 1}]",), "format=tokens reads recordings"),
        (("pack=64",), "pack and system are for text"),
    ],
)
def test_settings_that_do_not_fit_are_refused(words: tuple[str, ...], said: str) -> None:
    given_words = ("source=x", "out=y", "format=tokens", *words)
    with pytest.raises(ConfigError, match=said):
        validated(ConvertConfig, compose_config(Invocation("convert", given_words)))


def test_memory_is_that_of_a_group_of_rows_however_many_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(token_rows, "_GROUP_IDS", 1 << 17)
    chain = chains(episode(([1] * 9000, [2] * 1000)))[0]
    row = TokenRow("e", "g", 0, 0, "m", None, 1.0, 1, chain)

    def peak(count: int) -> int:
        with TokenWriter(tmp_path / f"{count}.parquet") as writer:
            tracemalloc.start()
            for _ in range(count):
                writer.add(row)
            found = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        return found

    assert peak(56) < 1.3 * peak(14)
    assert pq.ParquetFile(tmp_path / "56.parquet").metadata.num_row_groups == 4
