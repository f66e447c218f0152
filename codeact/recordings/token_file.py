"""Reads the exact tokens of a run folder, joined to the records of its episodes."""

from collections.abc import Iterator
from pathlib import Path

from codeact.episode.tokens import PackedTurn, unpack_ids, unpack_logprobs
from codeact.exceptions import RunFolderError
from codeact.recordings.run_folder import open_index
from codeact.recordings.token_units import TOKENS, TokenUnit, UnitKey, damage, read_keys, read_units
from codeact.recordings.tokens import EpisodeTokens, TurnTokens


def read_tokens(
    folder: Path, *, failed: bool = False, skip_unreadable: bool = False
) -> Iterator[EpisodeTokens]:
    """Yield the exact tokens of the episodes of a run folder, in the order of their writing.

    They are those of each episode's last record: of the attempt that ended it and, with `failed`,
    of the attempts before it. What a crash left behind without a record is left out, and so is an
    unfinished last unit. Raises `RunFolderError` with the place of what is missing or damaged; a
    record's line that cannot be read is passed over with `skip_unreadable`.
    """
    path = folder / TOKENS
    if not path.is_file():
        raise RunFolderError(
            f"{path}: is not there: the run was played without model.tokens=exact, or the file "
            "was not copied with its folder"
        )
    last = _last_records(folder, skip_unreadable=skip_unreadable)
    places = {key: start for start, key in read_keys(path)}
    for start, unit in read_units(path):
        ended = last.get(unit.episode)
        if ended is None or ended.session != unit.session or places[unit.key] != start:
            continue
        if unit.attempt == ended.attempt or (failed and unit.attempt < ended.attempt):
            yield _unpacked(path, start, unit)


def _last_records(folder: Path, *, skip_unreadable: bool) -> dict[str, UnitKey]:
    """Return the unit of the attempt that ended each episode, by its last line."""
    with open_index(folder, skip_unreadable=skip_unreadable) as index:
        keys = [UnitKey(*row) for row in index.columns(["id", "session", "attempts"])]
    return {key.episode: key for key in keys}


def _unpacked(path: Path, start: int, unit: TokenUnit) -> EpisodeTokens:
    try:
        turns = _turns(unit.turns)
    except ValueError as error:
        raise damage(path, start, f"episode {unit.episode}: {error}") from None
    return EpisodeTokens(
        episode=unit.episode,
        attempt=unit.attempt,
        model=unit.model,
        revision=unit.revision,
        turns=turns,
    )


def _turns(packed: list[PackedTurn]) -> list[TurnTokens]:
    turns, seen = [], 0
    for turn in map(_turn, packed):
        if not 0 <= turn.kept <= seen:
            raise ValueError(f"turn {turn.turn + 1} keeps {turn.kept} of {seen} ids")
        seen = turn.kept + len(turn.prompt) + len(turn.sampled)
        turns.append(turn)
    return turns


def _turn(packed: PackedTurn) -> TurnTokens:
    sampled = unpack_ids(packed.sampled)
    return TurnTokens(
        turn=packed.turn,
        kept=packed.kept,
        prompt=unpack_ids(packed.prompt),
        sampled=sampled,
        logprobs=unpack_logprobs(packed.logprobs, len(sampled)),
        finish_reason=packed.finish_reason,
        temperature=packed.temperature,
    )
