"""Every error that codeact raises on purpose, in one tree.

CodeactError
├── ConfigError             a setting is unknown, of the wrong type or impossible
├── ExecutorUnavailable     the chosen executor cannot run on this machine
├── TaskFileError           a task file cannot be read: file, line and reason
│   └── RawFilesMissing     the raw files that task files are made of are not there
├── RecordingError          a recorded source cannot be read or lacks an answer
├── RunFolderError          a run folder cannot be written, or is not what it should be
│   └── DiskFull            its disk is full; writing is tried again for a while
├── ComputeUnavailable      Ray cannot be started or reached, or lost its last worker
├── ModelUnavailable        a model's own servers do not come up, or stay down
├── BudgetExhausted         a run has spent its budget; the rest can be played later
├── RunStopped              a run in which nothing works; the rest can be played later
└── EpisodeFailure          one episode could not go on; the run does
    ├── ModelFailure        the policy's own doing (its context is full, say)
    ├── ProviderFailure     the endpoint: down, refusing, hanging, answering garbage
    ├── SandboxFailure      the sandbox: its server died, its channel broke
    ├── ToolFailure         a tool's service: down, refusing, or asking to wait too long
    ├── UserFailure         the user: a feedback model that failed, or a person who left
    ├── GraderFailure       the grader could not reach a verdict
    └── HarnessFailure      a fault of codeact itself

All but the last end a command, if possible before anything is spent. An
`EpisodeFailure` never does: the driver turns it into an outcome with its `cause`.
"""

from typing import ClassVar, Literal

Cause = Literal["model", "provider", "sandbox", "tool", "user", "grader", "harness"]


class CodeactError(Exception):
    """Base class; a message says what happened, where, and what to do about it."""


class ConfigError(CodeactError):
    """The composed configuration is invalid."""


class ExecutorUnavailable(CodeactError):
    """The executor cannot start here; the message says how to fix that or what to use instead."""


class TaskFileError(CodeactError):
    """A task file is missing, or a line of it is broken."""


class RawFilesMissing(TaskFileError):
    """The raw files of a data set are not there."""


class RecordingError(CodeactError):
    """Recorded episodes cannot be read, or lack what was asked for."""


class RunFolderError(CodeactError):
    """The run folder cannot be created, written or trusted."""


class DiskFull(RunFolderError):
    """The disk is full; the record is kept in memory until there is room."""


class ComputeUnavailable(CodeactError):
    """Episodes cannot be played where the configuration wants them played."""


class ModelUnavailable(CodeactError):
    """Servers started for a model do not come up; the message has their command and log."""


class BudgetExhausted(CodeactError):
    """A request was not sent, because the run's budget is used up."""


class RunStopped(CodeactError):
    """A run was stopped: too many episodes failed in a row, and what they need does not work."""


class EpisodeFailure(CodeactError):
    """One episode cannot continue. `cause` says why.

    A `final` one would come again at once if the episode were played again.
    """

    cause: ClassVar[Cause] = "harness"

    def __init__(self, message: str, *, final: bool = False) -> None:
        super().__init__(message)
        self.final = final


class ModelFailure(EpisodeFailure):
    """The policy model itself is the cause, for example because its context is full."""

    cause = "model"


class ProviderFailure(EpisodeFailure):
    """The endpoint gave no usable answer after all retries."""

    cause = "provider"


class SandboxFailure(EpisodeFailure):
    """The sandbox broke. A cell that fails, hangs or is killed is an observation instead."""

    cause = "sandbox"


class ToolFailure(EpisodeFailure):
    """A tool's service gave no answer after all retries. "Nothing found" is an observation."""

    cause = "tool"


class UserFailure(EpisodeFailure):
    """The user: the feedback model failed or gave no usable feedback, or the person has left."""

    cause = "user"


class GraderFailure(EpisodeFailure):
    """No verdict could be reached, which is never the same as a wrong answer."""

    cause = "grader"


class HarnessFailure(EpisodeFailure):
    """A fault in codeact."""

    cause = "harness"
