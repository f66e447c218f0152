"""The file of exact tokens: what was sampled comes back, and no crash tears it from its record."""

import os
import signal
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codeact.episode.record import Attempt, EpisodeRecord
from codeact.episode.tokens import (
    CompletionTokens,
    TokenLog,
    pack_ids,
    pack_logprobs,
    unpack_ids,
    unpack_logprobs,
)
from codeact.exceptions import RunFolderError
from codeact.experiment.identity import RequestedRun
from codeact.recordings.run_folder import (
    EPISODES,
    EpisodeIdentity,
    RunFolder,
    latest_records,
)
from codeact.recordings.token_file import read_tokens
from codeact.recordings.token_units import TOKENS
from tests.helpers.records import configured, make_record
from tests.helpers.token_runs import ASKED, play, resumed

IDS = st.lists(st.integers(0, 2**31 - 1), max_size=30)
FLOATS = st.floats(max_value=0, allow_nan=False, allow_infinity=False)


def request_tokens(prompt: Sequence[int], sampled: Sequence[int]) -> CompletionTokens:
    return CompletionTokens(
        prompt=pack_ids(prompt),
        sampled=pack_ids(sampled),
        logprobs=pack_logprobs([-0.5 * (n + 1) for n in range(len(sampled))]),
        finish_reason="stop",
        temperature=0.7,
    )


def tokens_of(*requests: tuple[Sequence[int], Sequence[int]]) -> TokenLog:
    log = TokenLog()
    for turn, (prompt, sampled) in enumerate(requests):
        log.add(turn, request_tokens(prompt, sampled))
    return log


def recorded(task: str, *requests: tuple[Sequence[int], Sequence[int]]) -> EpisodeRecord:
    record, log = make_record(task), tokens_of(*requests)
    record.tokens, record.token_report = log.turns, log.report
    return record


def joined(folder: Path) -> dict[str, list[list[int]]]:
    """The whole prompts by task, for every record; fails where one has no tokens."""
    tokens = {one.episode: one for one in read_tokens(folder)}
    return {record.task_id: [*tokens[record.id].prompts()] for record in latest_records(folder)}


def test_what_was_sampled_comes_back_joined_to_its_record(tmp_path: Path) -> None:
    first = ([1, 2, 3], [10, 11])
    play(tmp_path, recorded("0", first, ([1, 2, 3, 10, 11, 4], [12])), recorded("1", ([7], [])))
    two, one = read_tokens(tmp_path)
    assert (two.episode, two.attempt, two.model, two.revision) == (
        latest_records(tmp_path)[0].id,
        0,
        "m",
        "r1",
    )
    assert [turn.kept for turn in two.turns] == [0, 5]
    assert [turn.prompt for turn in two.turns] == [[1, 2, 3], [4]]
    assert [turn.sampled for turn in two.turns] == [[10, 11], [12]]
    assert two.turns[0].logprobs == [-0.5, -1.0]
    assert (two.turns[0].finish_reason, two.turns[0].temperature) == ("stop", 0.7)
    assert [*two.prompts()] == [[1, 2, 3], [1, 2, 3, 10, 11, 4]]
    assert one.turns[0].sampled == []


def test_no_line_of_a_record_holds_tokens(tmp_path: Path) -> None:
    record = recorded("0", ([1], [2]))
    record.attempts = [Attempt(cause="provider", error="", tokens=tokens_of(([3], [4])).turns)]
    play(tmp_path, record)
    (line,) = (tmp_path / EPISODES).read_bytes().splitlines()
    assert b'"tokens":' not in line
    assert record.tokens is not msgspec.UNSET, "a full disk has it written once more"
    assert latest_records(tmp_path)[0].token_report == record.token_report


@given(st.lists(st.tuples(IDS, IDS), min_size=1, max_size=5))
def test_whole_prompts_come_back_wherever_they_break(
    requests: list[tuple[list[int], list[int]]],
) -> None:
    seen: list[int] = []
    for turn in (log := tokens_of(*requests)).turns:
        prompt, sampled = requests[turn.turn]
        assert [*seen[: turn.kept], *unpack_ids(turn.prompt)] == prompt
        assert seen[turn.kept : turn.kept + 1] != prompt[turn.kept : turn.kept + 1] or not (
            seen[turn.kept :] and prompt[turn.kept :]
        ), "more was kept than was said"
        seen = [*prompt, *sampled]
    assert log.report.prompt == sum(len(prompt) for prompt, _ in requests)
    assert log.report.sampled == sum(len(sampled) for _, sampled in requests)


@given(st.lists(FLOATS, max_size=20))
def test_log_probabilities_lose_nothing(values: list[float]) -> None:
    assert unpack_logprobs(pack_logprobs(values), len(values)) == values


def test_the_attempts_before_are_there_when_asked_for(tmp_path: Path) -> None:
    record = recorded("0", ([1], [2]))
    failed = tokens_of(([1], [9])).turns
    record.attempts = [
        Attempt(cause="harness", error="a lost worker"),
        Attempt(cause="sandbox", error="", tokens=failed),
    ]
    play(tmp_path, record)
    (ended,) = read_tokens(tmp_path)
    assert (ended.attempt, ended.turns[0].sampled) == (2, [2])
    every = [(one.attempt, one.turns[0].sampled) for one in read_tokens(tmp_path, failed=True)]
    assert every == [(1, [9]), (2, [2])]


def test_an_episode_played_again_has_the_tokens_of_its_last_record(tmp_path: Path) -> None:
    failure = make_record("0", cause="provider")
    failure.tokens = tokens_of(([1], [2])).turns
    failure.attempts = [Attempt(cause="provider", error="")]
    play(tmp_path, failure, session=1)
    play(tmp_path, recorded("0", ([1], [3])), session=2)
    (only,) = read_tokens(tmp_path, failed=True)
    assert only.turns[0].sampled == [3]


def test_at_whatever_byte_a_run_is_killed_each_record_has_its_tokens(tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    sizes = [(0, 0)]
    for number in range(3):
        play(whole, recorded(str(number), ([number] * 9, [number])), session=1)
        sizes.append(((whole / TOKENS).stat().st_size, (whole / EPISODES).stat().st_size))
    units, lines = (whole / TOKENS).read_bytes(), (whole / EPISODES).read_bytes()
    moments = []
    for (unit, line), (next_unit, next_line) in pairwise(sizes):
        moments += [(at, line) for at in range(unit, next_unit, 7)]
        moments += [(next_unit, at) for at in range(line, next_line, 101)]
    for number, (unit, line) in enumerate(moments):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / TOKENS).write_bytes(units[:unit])
        (folder / EPISODES).write_bytes(lines[:line])
        opened = resumed(folder)
        finished = {int(one.task_digest[-1]) for one in opened.finished}
        assert finished == {*range(lines[:line].count(b"\n"))}
        assert not opened.notices
        owed = [recorded(str(n), ([n] * 9, [n])) for n in range(3) if n not in finished]
        play(folder, *owed, session=2)
        assert joined(folder) == {str(n): [[n] * 9] for n in range(3)}


def test_a_killed_process_leaves_no_record_without_tokens(tmp_path: Path) -> None:
    done = 0
    for session in range(1, 4):
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            opened = RunFolder.open(tmp_path, ASKED)
            opened.session = session
            for number in range(done, 100_000):
                opened.append(recorded(str(number), ([number] * 400, [number] * 50)))
                os.write(write, b".")
        while done < 40 * session:
            done += len(os.read(read, 64))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        again = RunFolder.open(tmp_path, ASKED)
        assert not again.notices
        done = len(again.finished)
        again.close()
        assert len(joined(tmp_path)) == done >= 40 * session


def test_finished_episodes_whose_tokens_are_gone_are_owed_again(tmp_path: Path) -> None:
    play(tmp_path, recorded("0", ([1], [2])))
    kept = (tmp_path / TOKENS).stat().st_size
    play(tmp_path, recorded("1", ([3], [4])))
    with (tmp_path / TOKENS).open("r+b") as file:
        file.truncate(kept)
    again = resumed(tmp_path)
    assert [one.task_digest for one in again.finished] == ["digest-0"]
    assert "lacks the tokens of 1 finished" in again.notices[0]
    play(tmp_path, recorded("1", ([3], [5])), session=2)
    assert joined(tmp_path) == {"0": [[1]], "1": [[3]]}


def test_a_damaged_unit_is_refused_with_its_place(tmp_path: Path) -> None:
    play(tmp_path, recorded("0", ([1], [2])))
    start = (tmp_path / TOKENS).stat().st_size
    play(tmp_path, recorded("1", ([3] * 99, [4] * 99)), recorded("2", ([1], [2])))
    content = bytearray((tmp_path / TOKENS).read_bytes())
    content[start + 40] ^= 255
    (tmp_path / TOKENS).write_bytes(content)
    with pytest.raises(RunFolderError, match=rf"{TOKENS}, at byte {start}: .*--size={start}"):
        list(read_tokens(tmp_path))
    with pytest.raises(RunFolderError, match=f"at byte {start}"):
        RunFolder.open(tmp_path, ASKED)
    os.truncate(tmp_path / TOKENS, start)
    assert {one.task_digest for one in resumed(tmp_path).finished} == {"digest-0"}


def test_parts_of_a_unit_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    record = recorded("0", ([1, 2], [3, 4]))
    assert isinstance(record.tokens, list)
    record.tokens = [msgspec.structs.replace(record.tokens[0], logprobs=pack_logprobs([-1.0]))]
    play(tmp_path, record)
    with pytest.raises(RunFolderError, match="1 log probabilities for 2 ids"):
        list(read_tokens(tmp_path))


def test_a_full_disk_takes_back_the_tokens_of_a_record_that_it_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = RunFolder.open(tmp_path, ASKED)
    write = os.write

    def full(file: int, data: bytes) -> int:
        if data.startswith(b"{"):
            raise OSError(28, "No space left on device")
        return write(file, data)

    record = recorded("0", ([1], [2]))
    monkeypatch.setattr(os, "write", full)
    with pytest.raises(RunFolderError, match="make room"):
        folder.append(record)
    monkeypatch.undo()
    assert (tmp_path / TOKENS).stat().st_size == 0
    folder.append(record)
    folder.close()
    assert joined(tmp_path) == {"0": [[1]]}


def test_a_run_that_counts_tokens_only_has_no_such_file(tmp_path: Path) -> None:
    run = RequestedRun(config=configured(), values={"label": "s"})
    folder = RunFolder.open(tmp_path, run)
    folder.append(make_record())
    folder.close()
    assert not (tmp_path / TOKENS).exists()
    assert EpisodeIdentity.of(latest_records(tmp_path)[0]) in folder.finished
    with pytest.raises(RunFolderError, match=r"without model\.tokens=exact"):
        list(read_tokens(tmp_path))
