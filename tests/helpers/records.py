"""Makes episode records for tests, and what a run folder is opened with."""

from functools import cache

from codeact.episode.effects import ActionRecord, Counts, Outcome, Turn, Usage
from codeact.episode.messages import ToolCall
from codeact.episode.record import VERSION, EpisodeRecord
from codeact.exceptions import Cause
from codeact.experiment.config.compose import Invocation, compose_config
from codeact.experiment.config.schema import RunConfig
from codeact.experiment.config.validation import validated
from codeact.experiment.identity import RequestedRun
from codeact.experiment.summary import Summary


@cache
def configured(*words: str) -> RunConfig:
    """The configuration of a run with a scripted model."""
    return validated(RunConfig, compose_config(Invocation("run", ("model=scripted", *words))))


def asked(label: str = "s") -> RequestedRun:
    """A run that is called by `label`, and is no other."""
    return RequestedRun(config=configured(), values={"label": label})


SETTINGS = asked().new.digest
"""The settings digest of records in such a run's folder."""


def summarize(*records: EpisodeRecord) -> Summary:
    """Summarize records, one for each episode."""
    summary = Summary()
    for record in records:
        summary.add(record)
    return summary


def make_record(
    task_id: str = "0",
    *,
    cause: Cause | None = None,
    success: bool = True,
    settings: str = "s",
    observation: str = "",
) -> EpisodeRecord:
    """A record of one turn that solved its task, or failed with `cause`."""
    solved = success and cause is None
    return EpisodeRecord(
        id=f"gsm8k/{task_id}/{settings}/0",
        task_name="gsm8k",
        task_id=task_id,
        task_digest=f"digest-{task_id}",
        settings_digest=settings,
        sample=0,
        model="m",
        turn_setting="max5_p2+tool+cd",
        feedback="none",
        messages=[{"role": "user", "content": "Task:\n?\n"}],
        turns=[Turn(action="propose", content="1", observation=observation, usage=Usage(3, 2))],
        counts=Counts(propose_solution=1),
        outcome=Outcome(
            success=solved,
            terminate_reason="error" if cause else ("task_success" if solved else "max_steps"),
            cause=cause,
            error="why" if cause else "",
        ),
        usage=Usage(3, 2),
    )


FIRST = "Be brief.\n\n---\n\nTask:\nAn example.\n\n---\n\nTask:\nAdd 1 and 1.\n"
CALL = ToolCall(id="c1", name="python", arguments='{"code": "1 + 1"}')
OTHER_CALL = ToolCall(id="c2", name="python", arguments='{"code": "2"}')


def reasoning_record(task_id: str = "1") -> EpisodeRecord:
    """A record of today's `code` episodes: text between tags, with the server's reasoning apart."""
    record = make_record(task_id)
    record.version = VERSION
    record.messages = [
        {"role": "user", "content": FIRST},
        {
            "role": "assistant",
            "content": "Assistant:\n<execute> 1 + 1 </execute>\n",
            "reasoning": "I add.\n",
        },
        {"role": "user", "content": "Observation:\nOut[1]: 2\n"},
        {
            "role": "assistant",
            "content": "Assistant:\n<solution> 2 </solution>\n",
            "reasoning": "So it is 2.",
            "reasoning_details": [{"type": "reasoning.encrypted", "data": "…"}],
        },
    ]
    record.turns = [
        Turn(
            action="execute",
            content="1 + 1",
            message=1,
            observation="Out[1]: 2",
            usage=Usage(30, 7, reasoning=3),
        ),
        Turn(action="propose", content="2", message=3, correct=True, usage=Usage(50, 9)),
    ]
    record.counts = Counts(propose_solution=1, use_tool=1)
    record.usage = Usage(80, 16, reasoning=3)
    return record


def calling_record(task_id: str = "2") -> EpisodeRecord:
    """A record of an agent that acts by calls: a system message and an example in front."""
    record = reasoning_record(task_id)
    answer = ToolCall(id="c3", name="answer", arguments='{"solution": "2"}')
    record.messages = [
        {"role": "system", "content": "Call functions."},
        {"role": "user", "content": "Task:\nAn example."},
        {"role": "assistant", "content": "", "tool_calls": [OTHER_CALL.copy()]},
        {"role": "tool", "content": "2", "tool_call_id": "c2"},
        {"role": "assistant", "content": "It is 2."},
        {"role": "user", "content": "Task:\nAdd 1 and 1.\n"},
        {
            "role": "assistant",
            "content": "I look.",
            "reasoning": "Both at once.",
            "tool_calls": [CALL.copy(), OTHER_CALL.copy()],
        },
        {"role": "tool", "content": "2\n", "tool_call_id": "c1"},
        {"role": "tool", "content": "NameError: no", "tool_call_id": "c2"},
        {"role": "user", "content": "You have 3 steps left."},
        {"role": "assistant", "content": "", "tool_calls": [answer]},
        {"role": "tool", "content": "", "tool_call_id": "c3"},
    ]
    record.turns = [
        Turn(
            action="execute",
            content="1 + 1\n2",
            message=6,
            observation="2\nNameError: no",
            actions=(
                ActionRecord(action="execute", content="1 + 1", observation="2", tool_call_id="c1"),
                ActionRecord(
                    action="execute", content="2", observation="NameError: no", tool_call_id="c2"
                ),
            ),
            usage=Usage(30, 7),
        ),
        Turn(action="propose", content="2", message=10, correct=True, usage=Usage(50, 9)),
    ]
    return record
