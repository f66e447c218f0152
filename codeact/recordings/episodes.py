"""Reads recorded episodes: our run folders and the published ``results.jsonl`` trees.

Both come out as `RecordedEpisode`, the input of recorded models, `codeact replay` and
`codeact import`. Formats: docs/protocol.md, "Observations" and "Published recordings".
"""

import gzip
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from codeact.episode.effects import Counts, Message, Outcome
from codeact.episode.protocol import ASSISTANT_PREFIX, SEPARATOR
from codeact.episode.record import EpisodeRecord, decode
from codeact.exceptions import RecordingError

_ASSISTANT = f"{ASSISTANT_PREFIX}\n"
_LAST_STEP = "You should take the last step to propose a solution.\n"
_ENVIRONMENT = re.compile(
    r"Observation:\n(?P<observation>.*)\n"
    r"You have (?P<steps>-?\d+) steps left and "
    r"(?P<proposals>-?\d+) chances to propose solution left\.\n"
    rf"(?P<last>{re.escape(_LAST_STEP)})?"
    r"(?:\nExpert feedback:\n(?P<feedback>.*)\n)?",
    re.DOTALL,
)
_NO_COUNT_DOWN = re.compile(
    r"Observation:\n(?P<observation>.*?)\n(?:\nExpert feedback:\n(?P<feedback>.*)\n)?", re.DOTALL
)


class EnvironmentMessage(msgspec.Struct, frozen=True):
    """The environment's message taken apart; `render` puts it together to the letter.

    `steps_left` and `proposals_left` are None where the message has no count-down.
    """

    observation: str
    steps_left: int | None = None
    proposals_left: int | None = None
    last_step: bool = False
    feedback: str | None = None

    def render(self) -> str:
        text = f"Observation:\n{self.observation}\n"
        if self.steps_left is not None:
            text += (
                f"You have {self.steps_left} steps left and {self.proposals_left} "
                "chances to propose solution left.\n"
            )
        if self.last_step:
            text += _LAST_STEP
        if self.feedback is not None:
            text += f"\nExpert feedback:\n{self.feedback}\n"
        return text


def parse_environment(message: str) -> EnvironmentMessage | None:
    """Take an environment's message apart; None if it is not one."""
    if found := _ENVIRONMENT.fullmatch(message):
        return EnvironmentMessage(
            observation=found["observation"],
            steps_left=int(found["steps"]),
            proposals_left=int(found["proposals"]),
            last_step=found["last"] is not None,
            feedback=found["feedback"],
        )
    if found := _NO_COUNT_DOWN.fullmatch(message):
        return EnvironmentMessage(found["observation"], feedback=found["feedback"])
    return None


def policy_text(content: str) -> str:
    """Take what the model wrote out of a recorded assistant message."""
    return content.removeprefix(_ASSISTANT).removesuffix("\n")


def assistant_content(text: str) -> str:
    """Render what a model wrote as it is recorded; the inverse of `policy_text`."""
    if text == "":
        return _ASSISTANT
    prefix = "" if text.lstrip().startswith(ASSISTANT_PREFIX) else _ASSISTANT
    return f"{prefix}{text}\n"


class RecordedTurn(msgspec.Struct, frozen=True):
    """What the model wrote, and the environment's answer where it was recorded.

    Published recordings do not hold the answer to an episode's last turn. `logged` is False for
    an empty answer that left no message.
    """

    text: str
    environment: EnvironmentMessage | None = None
    logged: bool = True


class RecordedEpisode(msgspec.Struct, frozen=True, kw_only=True):
    """One recorded episode, whatever it was recorded with.

    `feedback_model` and `feedback_kind` are empty without feedback. `family` is the task name
    inside the record (``reasoning``, ``alfworld/put``). `prompt` is the task's text and
    `first_message` all that the model saw first. `record` is the line of our own run folders.
    """

    model: str
    feedback_model: str = ""
    feedback_kind: str = ""
    turn_setting: str
    task_type: str = ""
    task_name: str
    split: str = ""
    family: str = ""
    task_id: str
    sample: int = 0
    prompt: str
    first_message: str
    reference: Any = None
    metadata: dict[str, Any] = {}
    turns: tuple[RecordedTurn, ...]
    counts: Counts
    outcome: Outcome
    tokens: dict[str, int] = {}
    record: EpisodeRecord | None = None
    place: str = ""
    """File and line, for messages."""

    @property
    def feedback(self) -> str:
        """``none``, or the feedback model and its kind, as in `Selection`."""
        return _feedback_name(self.feedback_model, self.feedback_kind)


def _feedback_name(model: str, kind: str) -> str:
    return f"{model}/{kind}" if model else "none"


class Selection(msgspec.Struct, frozen=True):
    """Which part of a recorded source is meant; None is any."""

    model: str | None = None
    feedback: str | None = None
    """``none``, or the feedback model and its kind, such as ``gpt-4-0613/no_GT-textual``."""
    turn_setting: str | None = None
    task_names: frozenset[str] | None = None

    def accepts(self, model: str, feedback: str, turn_setting: str, task_name: str) -> bool:
        return (
            self.model in (None, model)
            and self.feedback in (None, feedback)
            and self.turn_setting in (None, turn_setting)
            and (self.task_names is None or task_name in self.task_names)
        )


EVERYTHING = Selection()


def read_recordings(
    source: str | Path, selection: Selection = EVERYTHING
) -> Iterator[RecordedEpisode]:
    """Read every recorded episode of a file, a run folder, or a tree of either, in path order.

    Raises `RecordingError` with file and line for anything that cannot be read.
    """
    for path in recording_files(source):
        if path.name.startswith("episodes.jsonl"):
            yield from _read_run(path, selection)
        else:
            yield from _read_published(path, selection)


def recording_files(source: str | Path) -> list[Path]:
    """List the files with recorded episodes at or beneath `source`."""
    root = Path(source)
    if root.is_file():
        return [root]
    if not root.is_dir():
        raise RecordingError(f"{root}: there is no such file or folder of recorded episodes")
    names = ("results.jsonl", "results.jsonl.gz", "episodes.jsonl", "episodes.jsonl.gz")
    files = sorted(path for path in root.rglob("*.jsonl*") if path.name in names)
    if not files:
        raise RecordingError(f"{root}: holds none of {', '.join(names)}, at any depth")
    return files


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    number = 0
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield number, line
    except (OSError, EOFError, zlib.error) as error:
        raise RecordingError(f"{path}:{number + 1}: cannot be read: {error}") from error


# Our own run folders

MINT = "mint"
"""The published format's name, under which an imported record keeps its `Imported`."""


class Imported(msgspec.Struct, frozen=True):
    """What an `EpisodeRecord` has no place for: of a published file's path, and of its line.

    `line` is the JSON object without what the record's own fields say.
    """

    task_type: str = ""
    split: str = ""
    line: dict[str, Any] = {}


def _read_run(path: Path, selection: Selection) -> Iterator[RecordedEpisode]:
    for number, line in _lines(path):
        place = f"{path}:{number}"
        try:
            record = decode(line)
            episode = _from_record(record, place)
        except ValueError as error:
            if not line.endswith(b"\n"):
                return  # a killed run leaves a torn last line, which no one trusts
            raise RecordingError(f"{place}: not an episode record: {error}") from error
        if selection.accepts(
            episode.model, episode.feedback, episode.turn_setting, episode.task_name
        ):
            yield episode


def _from_record(record: EpisodeRecord, place: str) -> RecordedEpisode:
    feedback_model, _, feedback_kind = record.feedback.rpartition("/")
    first = record.messages[0]["content"] if record.messages else ""
    imported = msgspec.convert(record.extra.get(MINT, {}), Imported)
    task = imported.line.get("task", {})
    return RecordedEpisode(
        model=record.model,
        feedback_model=feedback_model,
        feedback_kind=feedback_kind if feedback_model else "",
        turn_setting=record.turn_setting,
        task_type=imported.task_type,
        task_name=record.task_name,
        split=imported.split,
        family=task.get("task_name", ""),
        task_id=record.task_id,
        sample=record.sample,
        prompt=task.get("prompt", _prompt_of(first)),
        first_message=first,
        reference=record.reference,
        metadata=task.get("metadata") or {},
        turns=_turns(record.messages, len(record.turns)),
        counts=record.counts,
        outcome=record.outcome,
        tokens=imported.line.get("state", {}).get("token_counter") or {},
        record=record,
        place=place,
    )


def _prompt_of(first_message: str) -> str:
    return first_message.rpartition(f"{SEPARATOR}Task:\n")[2].removesuffix("\n")


# The published format


class _State(msgspec.Struct):
    history: list[Message]
    success: bool
    agent_action_count: Counts
    terminate_reason: str | None
    token_counter: dict[str, int] = {}
    error: str | None = None


class _Task(msgspec.Struct):
    task_name: str
    task_id: str | int
    prompt: str
    reference: Any = None
    metadata: dict[str, Any] | None = None


class _Published(msgspec.Struct):
    state: _State
    task: _Task


_PUBLISHED = msgspec.json.Decoder(_Published)


class RecordedPath(msgspec.Struct, frozen=True):
    """What the path of a published file says of its episodes."""

    model: str
    feedback_model: str
    feedback_kind: str
    turn_setting: str
    task_type: str
    task_name: str
    split: str

    @property
    def feedback(self) -> str:
        return _feedback_name(self.feedback_model, self.feedback_kind)


def parse_path(path: Path) -> RecordedPath:
    """Take a published file's path apart; raises `RecordingError` if it does not say enough."""
    parts = list(path.resolve().parent.parts)
    marks = [i for i, part in enumerate(parts) if part.startswith("F=")]
    rest = parts[marks[-1] + 1 :] if marks else []
    kind = rest.pop(0).removeprefix("PHF=") if rest and rest[0].startswith("PHF=") else ""
    if len(rest) not in (3, 4):
        raise RecordingError(
            f"{path}: its path does not say what was recorded; expected "
            "<model>/F=<None or feedback model>[/PHF=<kind>]/<turn setting>/<task type>/"
            "<task name>[/<split>]/results.jsonl"
        )
    feedback_model = parts[marks[-1]].removeprefix("F=")
    return RecordedPath(
        model=parts[marks[-1] - 1],
        feedback_model="" if feedback_model == "None" else feedback_model,
        feedback_kind=kind,
        turn_setting=rest[0],
        task_type=rest[1],
        task_name=rest[2],
        split=rest[3] if len(rest) == 4 else "",
    )


def _read_published(path: Path, selection: Selection) -> Iterator[RecordedEpisode]:
    where = parse_path(path)
    if not selection.accepts(where.model, where.feedback, where.turn_setting, where.task_name):
        return
    for number, line in _lines(path):
        place = f"{path}:{number}"
        try:
            yield decode_published(line, where, place)
        except ValueError as error:
            raise RecordingError(f"{place}: not a recorded episode: {error}") from error


def decode_published(content: bytes, where: RecordedPath, place: str) -> RecordedEpisode:
    """Read one line of a published file; raises `ValueError` where it holds no episode."""
    line = _PUBLISHED.decode(content)
    state, task = line.state, line.task
    if not state.history:
        raise ValueError("its history is empty")
    reason = state.terminate_reason or "error"
    outcome = Outcome(
        success=state.success,
        terminate_reason=msgspec.convert(reason, Outcome.__annotations__["terminate_reason"]),
        cause="model" if reason == "error" else None,
        error=_last_line(state.error),
    )
    return RecordedEpisode(
        model=where.model,
        feedback_model=where.feedback_model,
        feedback_kind=where.feedback_kind,
        turn_setting=where.turn_setting,
        task_type=where.task_type,
        task_name=where.task_name,
        split=where.split,
        family=task.task_name,
        task_id=str(task.task_id),
        prompt=task.prompt,
        first_message=state.history[0]["content"],
        reference=task.reference,
        metadata=task.metadata or {},
        turns=_turns(state.history, state.agent_action_count.steps),
        counts=state.agent_action_count,
        outcome=outcome,
        tokens=state.token_counter,
        place=place,
    )


def _last_line(error: str | None) -> str:
    lines = (error or "").strip().splitlines()
    return lines[-1] if lines else ""


def _turns(messages: list[Message], steps: int) -> tuple[RecordedTurn, ...]:
    """Pair what the model wrote with what the environment answered.

    An answer of nothing at all was not recorded as a message, though it took a step: two of the
    environment's messages then follow each other.
    """
    turns: list[RecordedTurn] = []
    text: str | None = None
    for message in messages[1:]:
        if message["role"] == "assistant":
            if text is not None:
                turns.append(RecordedTurn(text))
            text = policy_text(message["content"])
        else:
            environment = parse_environment(message["content"])
            if environment is None:
                raise ValueError(f"not the environment's words: {message['content'][:80]!r}")
            turns.append(RecordedTurn(text or "", environment, logged=text is not None))
            text = None
    if text is not None:
        turns.append(RecordedTurn(text))
    turns.extend(RecordedTurn("", logged=False) for _ in range(steps - len(turns)))
    return tuple(turns)
