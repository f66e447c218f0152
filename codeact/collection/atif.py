"""Episodes in the Agent Trajectory Interchange Format (ATIF), version 1.7: one JSON a trajectory.

Each turn is a step of the agent: its text, reasoning and actions, and what it was told. An action
that stood in the text, as code between tags does, is a tool call, too, and its `extra` says so.
What the format has no place for is in `extra`: the environment's messages to the letter, verdicts,
the arguments of calls that are no JSON object, and how the episode ended.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from codeact.episode.effects import ActionRecord, Turn, Usage
from codeact.episode.messages import JSON, Message, ToolCall, arguments_of
from codeact.episode.record import EpisodeRecord
from codeact.recordings.tokens import EpisodeTokens, TurnTokens
from codeact.recordings.transcript import RecordedTurn, turns_of_record

SCHEMA_VERSION = "ATIF-v1.7"
AGENT = "codeact"
_SOURCES = {"system": "system", "user": "user"}
_FUNCTIONS = {"execute": ("execute", "code"), "propose": ("propose", "answer")}
"""The call, and its argument, that an action in a text becomes."""


def trajectory(
    record: EpisodeRecord, version: str, tokens: EpisodeTokens | None = None, *, reasoning: bool
) -> JSON:
    """Return the trajectory of a record; raises `ValueError` where it has none.

    `version` is that of the codeact that played it. Without `reasoning`, steps have none.
    """
    said = turns_of_record(record)
    if len(said) != len(record.turns):
        raise ValueError(f"has messages of {len(said)} turns, and {len(record.turns)} turns")
    told = _told(record, said)
    ids = _ids(tokens)
    steps = list(_opening(record.opening))
    for number, (turn, one) in enumerate(zip(record.turns, said, strict=True)):
        step = _step(number, turn, one, told[number], ids.get(number))
        if not reasoning:
            step.pop("reasoning_content", None)
            step["extra"].pop("reasoning_details", None)
        steps.append(step)
    if not steps:
        raise ValueError("has no messages")
    return {
        "schema_version": SCHEMA_VERSION,
        "session_id": record.id,
        "agent": {
            "name": AGENT,
            "version": version,
            "model_name": record.model,
            "extra": {"turn_setting": record.turn_setting, "feedback": record.feedback},
        },
        "steps": [{"step_id": number, **step} for number, step in enumerate(steps, 1)],
        "final_metrics": _final(record, len(steps)),
        "extra": {
            "task_name": record.task_name,
            "task_id": record.task_id,
            "sample": record.sample,
            "attempt": len(record.attempts),
            "settings_digest": record.settings_digest,
            "outcome": msgspec.to_builtins(record.outcome),
        },
    }


def _ids(tokens: EpisodeTokens | None) -> dict[int, tuple[list[int], TurnTokens]]:
    """The whole prompt of each turn, and its tokens."""
    if tokens is None:
        return {}
    pairs = zip(tokens.prompts(), tokens.turns, strict=True)
    return {turn.turn: (prompt, turn) for prompt, turn in pairs}


def _told(record: EpisodeRecord, said: Sequence[RecordedTurn]) -> list[list[Message]]:
    """The environment's messages after each turn."""
    if record.version == 1:
        return [
            [{"role": "user", "content": one.environment.render()}] if one.environment else []
            for one in said
        ]
    places = [turn.message or 0 for turn in record.turns]
    ends = [*places[1:], len(record.messages)]
    return [record.messages[a + 1 : b] for a, b in zip(places, ends, strict=True)]


def _opening(messages: Sequence[Message]) -> Iterator[JSON]:
    """Steps of the messages in front; an example's calls and results are copied context."""
    step: JSON = {}
    for message in messages:
        if message["role"] == "tool":
            if not step:
                raise ValueError("begins with the result of a tool that nothing called")
            _add_results(step, [message])
            continue
        if step:
            yield step
        if message["role"] != "assistant":
            step = {"source": _SOURCES[message["role"]], "message": message["content"]}
            continue
        step = _spoken(message["content"], message.get("reasoning"))
        step["is_copied_context"] = True
        if calls := message.get("tool_calls"):
            step["tool_calls"] = [_call(call) for call in calls]
    if step:
        yield step


def _spoken(text: str, reasoning: str | None) -> JSON:
    step: JSON = {"source": "agent", "message": text}
    if reasoning is not None:
        step["reasoning_content"] = reasoning
    return step


def _step(
    number: int,
    turn: Turn,
    said: RecordedTurn,
    told: list[Message],
    ids: tuple[list[int], TurnTokens] | None,
) -> JSON:
    answer = said.answer
    step = _spoken(answer.text, answer.reasoning)
    done = turn.actions or (
        ActionRecord(action=turn.action, content=turn.content, observation=turn.observation),
    )
    if answer.tool_calls:
        step["tool_calls"] = [_call(call) for call in answer.tool_calls]
    elif calls := [_of_text(number, n, one) for n, one in enumerate(done, 1) if _is_call(one)]:
        step["tool_calls"] = calls
    if any(message["role"] == "tool" for message in told):
        _add_results(step, told)
    elif told or turn.observation:
        step["observation"] = {"results": _observed(step, done)}
    step["metrics"] = _metrics(turn, ids)
    if turn.author == "model" and not turn.restored:
        step["llm_call_count"] = 1
    if turn.restored:
        step["is_copied_context"] = True
    step["extra"] = _extra(turn, answer.reasoning_details, told)
    return step


def _is_call(one: ActionRecord) -> bool:
    return one.action in _FUNCTIONS


def _call(call: ToolCall) -> JSON:
    arguments = arguments_of(call)
    made: JSON = {"tool_call_id": call["id"], "function_name": call["name"]}
    made["arguments"] = arguments or {}
    if arguments is None or msgspec.json.encode(arguments).decode() != call["arguments"]:
        made["extra"] = {"arguments": call["arguments"]}
    return made


def _of_text(turn: int, number: int, done: ActionRecord) -> JSON:
    name, argument = _FUNCTIONS[done.action]
    return {
        "tool_call_id": f"turn{turn + 1}-{number}",
        "function_name": name,
        "arguments": {argument: done.content},
        "extra": {"in_text": True},
    }


def _add_results(step: JSON, messages: Sequence[Message]) -> None:
    """Add messages to a step's results; of one that answers no call of it, `extra` has the id."""
    known = {call["tool_call_id"] for call in step.get("tool_calls", ())}
    results = step.setdefault("observation", {"results": []})["results"]
    for message in messages:
        called = message.get("tool_call_id")
        result: JSON = {"content": message["content"]}
        if called in known:
            result["source_call_id"] = called
        elif called is not None:
            result["extra"] = {"tool_call_id": called}
        results.append(result)


def _observed(step: JSON, done: Sequence[ActionRecord]) -> list[JSON]:
    """An observation for each action, joined to its call."""
    ids = [call["tool_call_id"] for call in step.get("tool_calls", ())]
    calls = iter(ids)
    results = []
    for one in done:
        result: JSON = {"content": one.observation}
        if one.tool_call_id in ids:
            result["source_call_id"] = one.tool_call_id
        elif _is_call(one) and (call := next(calls, None)) is not None:
            result["source_call_id"] = call
        results.append(result)
    return results


def _metrics(turn: Turn, ids: tuple[list[int], TurnTokens] | None) -> JSON:
    found: JSON = _usage(turn.usage)
    if turn.cost is not None:
        found["cost_usd"] = turn.cost
    extra: JSON = {"reasoning_tokens": turn.usage.reasoning, "seconds": turn.seconds}
    if ids is not None:
        prompt, tokens = ids
        found["prompt_token_ids"] = prompt
        found["completion_token_ids"] = tokens.sampled
        found["logprobs"] = tokens.logprobs
        extra |= {"finish_reason": tokens.finish_reason, "temperature": tokens.temperature}
    found["extra"] = extra
    return found


def _usage(usage: Usage) -> JSON:
    return {
        "prompt_tokens": usage.prompt,
        "completion_tokens": usage.completion,
        "cached_tokens": usage.cached,
    }


def _extra(turn: Turn, details: Sequence[Any], told: Sequence[Message]) -> JSON:
    """What the format has no place for, as far as a turn has it."""
    found: JSON = {"action": turn.action, "content": turn.content}
    chosen = {
        "actions": [msgspec.to_builtins(one) for one in turn.actions],
        "status": turn.status,
        "correct": turn.correct,
        "feedback": turn.feedback,
        "author": None if turn.author == "model" else turn.author,
        "original": turn.original,
        "reasoning_details": list(details),
        "environment": list(told),
    }
    return found | {key: value for key, value in chosen.items() if value not in (None, [])}


def _final(record: EpisodeRecord, steps: int) -> JSON:
    usage = record.usage
    found: JSON = {
        "total_prompt_tokens": usage.prompt,
        "total_completion_tokens": usage.completion,
        "total_cached_tokens": usage.cached,
        "total_steps": steps,
        "extra": {
            "reward": float(record.outcome.success),
            "reasoning_tokens": usage.reasoning,
            "feedback_tokens": record.feedback_usage.total,
            "seconds": record.seconds,
        },
    }
    if record.cost is not None:
        found["total_cost_usd"] = record.cost
    return found
