"""Published lines as episode records, and records as published lines; nothing is lost."""

from hashlib import blake2b
from typing import Any, Literal

import msgspec

from codeact.episode.effects import Turn, Usage
from codeact.episode.messages import JSON, Message
from codeact.episode.protocol import between_tags
from codeact.episode.record import EpisodeRecord
from codeact.jsonl import SourceLine
from codeact.recordings.episodes import RecordedEpisode, episode_of_published
from codeact.recordings.published_lines import MINT, Imported
from codeact.recordings.published_paths import PublishedPath, feedback_parts
from codeact.recordings.transcript import RecordedTurn, parse_environment, prompt_of


def to_record(where: PublishedPath, content: bytes, place: SourceLine) -> EpisodeRecord:
    """Make a record of one line of a published file; raises `ValueError` where it holds no episode.

    Of the settings nothing but their names is known, so that the record has no digest of them.
    """
    episode = episode_of_published(where, content, place)
    tokens = episode.tokens
    line: JSON = msgspec.json.decode(content)
    task_digest = blake2b(msgspec.json.encode(line["task"], order="deterministic"), digest_size=8)
    record = EpisodeRecord(
        id=_record_id(where.task_name, episode.task_id, 0),
        task_name=where.task_name,
        task_id=episode.task_id,
        task_digest=task_digest.hexdigest(),
        settings_digest="",
        sample=0,
        model=where.model,
        turn_setting=where.turn_setting,
        feedback=where.feedback,
        messages=msgspec.convert(line["state"]["history"], list[Message]),
        turns=_turns(episode),
        counts=episode.counts,
        outcome=episode.outcome,
        usage=Usage(tokens.prompt_tokens, tokens.completion_tokens),
        feedback_usage=Usage(tokens.feedback_prompt_tokens, tokens.feedback_completion_tokens),
        reference=episode.reference,
    )
    line["state"] = _without(line["state"], record)
    record.extra = {MINT: msgspec.to_builtins(Imported(where.task_type, where.split, line))}
    return record


def another_sample(record: EpisodeRecord, sample: int) -> EpisodeRecord:
    """Return the record as another sample of its task, with an id of its own."""
    own = _record_id(record.task_name, record.task_id, sample)
    return msgspec.structs.replace(record, id=own, sample=sample)


def _record_id(task_name: str, task_id: str, sample: int) -> str:
    return f"{task_name}/{task_id}//{sample}"


def to_published(record: EpisodeRecord, task_type: str) -> JSON:
    """The JSON object of a record; that of an imported one is equal to what was imported.

    A record of our own does not hold its task's file: metadata are empty, and the task's name is
    its type. Its messages keep their reasoning beside role and content. Raises `ValueError` for a
    conversation that the published form has no place for.
    """
    imported = msgspec.convert(record.extra.get(MINT), Imported | None)
    if imported is None:
        _refuse_other_forms(record)
        return _own(record, task_type)
    line = imported.line
    return {**line, "state": {**_of_state(record), **line["state"]}}


def _refuse_other_forms(record: EpisodeRecord) -> None:
    """Refuse all but a message with the task, and then the policy and the environment in turns."""
    if record.version == 1:
        return
    if [one["role"] for one in record.opening] not in (["user"], []):
        raise ValueError("does not begin with one message of the user")
    if any(turn.actions for turn in record.turns):
        raise ValueError("has a turn of several actions")
    for number, one in enumerate(record.messages):
        if one["role"] not in ("user", "assistant") or one.get("tool_calls"):
            raise ValueError(f"has tool calls, or a message of another role (message {number + 1})")
        if number and one["role"] == "user" and parse_environment(one["content"]) is None:
            raise ValueError(f"has words of the environment in another form (message {number + 1})")


def published_path(record: EpisodeRecord, task_type: str, split: str) -> PublishedPath:
    """Where the format keeps a record's line; an imported one knows its own type and split."""
    imported = msgspec.convert(record.extra.get(MINT, {}), Imported)
    feedback_model, feedback_kind = feedback_parts(record.feedback)
    return PublishedPath(
        model=record.model,
        feedback_model=feedback_model,
        feedback_kind=feedback_kind,
        turn_setting=record.turn_setting,
        task_type=imported.task_type or task_type,
        task_name=record.task_name,
        split=imported.split if imported.task_type else split,
    )


def _of_state(record: EpisodeRecord) -> JSON:
    """What a record's own fields say of ``state``."""
    return {
        "history": record.messages,
        "success": record.outcome.success,
        "agent_action_count": msgspec.to_builtins(record.counts),
    }


def _without(state: JSON, record: EpisodeRecord) -> JSON:
    """Return a state without what the record itself says in the same words."""
    said = _of_state(record)
    return {
        key: value
        for key, value in state.items()
        if key not in said or not _is_the_same(value, said[key])
    }


def _is_the_same(one: Any, other: Any) -> bool:
    """Equality of JSON, where true is not 1 and 1 is not 1.0."""
    return msgspec.json.encode(one, order="deterministic") == msgspec.json.encode(
        other, order="deterministic"
    )


def _turns(episode: RecordedEpisode) -> list[Turn]:
    *before, last = episode.turns or (None,)
    turns = [_turn(turn, correct=False) for turn in before if turn is not None]
    if last is not None:
        turns.append(_turn(last, correct=episode.outcome.success))
    return turns


def _turn(turn: RecordedTurn, *, correct: bool) -> Turn:
    environment = turn.environment
    proposed = "<solution>" in turn.text
    content = between_tags(turn.text, "solution" if proposed else "execute")
    action: Literal["execute", "propose", "invalid"] = "execute" if content else "invalid"
    return Turn(
        action="propose" if proposed else action,
        content=content,
        observation=environment.observation if environment else "",
        correct=correct if proposed else None,
        feedback=environment.feedback if environment else None,
    )


def _own(record: EpisodeRecord, task_type: str) -> JSON:
    last = record.messages[-1] if record.messages else None
    first = record.messages[0]["content"] if record.messages else ""
    tokens = {"prompt_tokens": record.usage.prompt, "completion_tokens": record.usage.completion}
    tokens["total_tokens"] = record.usage.total
    if record.feedback_usage.total:
        tokens["feedback_prompt_tokens"] = record.feedback_usage.prompt
        tokens["feedback_completion_tokens"] = record.feedback_usage.completion
    return {
        "state": {
            **_of_state(record),
            "finished": True,
            "latest_output": {"content": last["content"] if last else ""},
            "token_counter": tokens,
            "terminate_reason": record.outcome.terminate_reason,
            "error": record.outcome.error or None,
        },
        "task": {
            "task_name": task_type,
            "task_id": record.task_id,
            "prompt": prompt_of(first),
            "reference": record.reference,
            "metadata": {},
        },
    }
