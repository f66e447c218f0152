"""Makes episode records for tests, and what a run folder is opened with."""

from functools import cache

from codeact.episode.effects import Counts, Outcome, Turn, Usage
from codeact.episode.record import EpisodeRecord
from codeact.exceptions import Cause
from codeact.experiment.config.compose import Invocation, compose_config
from codeact.experiment.config.schema import RunConfig
from codeact.experiment.config.validation import validated
from codeact.experiment.identity import RequestedRun


@cache
def configured(*words: str) -> RunConfig:
    """The configuration of a run with a scripted model."""
    return validated(RunConfig, compose_config(Invocation("run", ("model=scripted", *words))))


def asked(label: str = "s") -> RequestedRun:
    """A run that is called by `label`, and is no other."""
    return RequestedRun(config=configured(), values={"label": label})


SETTINGS = asked().new.digest
"""The settings digest of records in such a run's folder."""


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
