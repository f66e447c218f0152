"""Conversations in the formats that training programs read: SFT, OpenAI's chat, HF data sets."""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec
from pydantic import Field

from codeact.collection.card import Split, card
from codeact.collection.conversations import DataFile, conversation_files, read_conversations
from codeact.collection.conversion import Conversation
from codeact.collection.masks import Masked, Preset, masked
from codeact.collection.pairs import write_pairs
from codeact.collection.settings import SelectionSettings
from codeact.collection.tags import TagSettings, contradictions, rewritten, taken_marks
from codeact.episode.effects import JSON
from codeact.episode.settings import Settings
from codeact.exceptions import ConfigError, RecordingError
from codeact.folders import whole_folder
from codeact.recordings.trajectory import Problem

CARD = "README.md"
_SAMPLE_OF_PROBLEMS = 20


class ConvertConfig(Settings):
    """``codeact convert``. `pairs` bounds the preference pairs of one task and first message.

    `push`, `repository`, `private` and `licence` are of the format ``hf``. `selection` says for
    preference pairs which episodes count and how they become conversations; of its filters only the
    excluded tasks apply, and to what is chosen those about single turns (`HABITS`).
    """

    source: str | list[str]
    """Files of conversations or folders of them; for `preference`, recorded episodes."""
    out: str
    """The folder for what is written."""
    format: Literal["sft", "openai", "hf", "preference"]
    """The form that is written."""
    loss: Preset | None
    """Which turns are trained: `all`, those that `worked`, the `successful_tail` or the `last`;
    null writes no mask."""
    tags: TagSettings
    """The text around code and solutions."""
    selection: SelectionSettings
    """For `preference`: which episodes count, and how they become conversations."""
    pairs: int = Field(ge=1)
    """For `preference`: the most pairs of one task and first message."""
    push: bool
    """For `hf`: send the data set to the hub."""
    repository: str | None
    """For `hf`: the repository at the hub, OWNER/NAME."""
    licence: str = Field(min_length=1)
    """The licence that the card names."""
    private: bool
    """For `hf`: whether the repository is private."""

    @property
    def sources(self) -> list[str]:
        return [self.source] if isinstance(self.source, str) else self.source


class Converted(NamedTuple):
    """The number of examples by the name of the file that they were written to."""

    examples: dict[str, int]
    problems: list[Problem]


def convert_files(config: ConvertConfig) -> Converted:
    """Write the sources in a format, and push them on request."""
    if config.push and (config.format != "hf" or not config.repository):
        raise ConfigError("push=true needs format=hf and repository=OWNER/NAME")
    done = Converted({}, [])
    with whole_folder(Path(config.out)) as folder:
        if config.format == "preference":
            done.examples["pairs.jsonl"] = write_pairs(
                config.sources,
                folder / "pairs.jsonl",
                settings=config.selection,
                most=config.pairs,
                reform=lambda conversation: _reformed(conversation, config.tags),
                problems=done.problems,
            )
        else:
            files = conversation_files(config.sources)
            _refuse_own_output(files, config)
            write = _write_hf if config.format == "hf" else _write_jsonl
            write(files, folder, config, done)
        if not sum(done.examples.values()):
            places = [f"\n{one.place}: {one.reason}" for one in done.problems]
            said = "".join(places[:_SAMPLE_OF_PROBLEMS])
            raise RecordingError(f"{', '.join(config.sources)}: gives no example{said}")
    if config.push:
        _push(Path(config.out), config)
    return done


def _refuse_own_output(files: list[DataFile], config: ConvertConfig) -> None:
    """A file is not replaced by its own conversion."""
    for file in files:
        if file.path.resolve() == (Path(config.out) / f"{file.name}.jsonl").resolve():
            raise ConfigError(f"out={config.out}: would replace {file.path}; choose another folder")


def _write_jsonl(
    files: list[DataFile], folder: Path, config: ConvertConfig, done: Converted
) -> None:
    form = _FORMS[config.format]
    for file in files:
        name = f"{file.name}.jsonl"
        done.examples[name] = 0
        with (folder / name).open("wb") as out:
            for example in _examples(file, form, config, done):
                out.write(msgspec.json.encode(example) + b"\n")
                done.examples[name] += 1


def _examples(
    file: DataFile, form: "_Form", config: ConvertConfig, done: Converted
) -> Iterator[JSON]:
    """Yield every conversation in its format, except those that would contradict themselves."""
    for conversation in read_conversations(file.path, done.problems):
        example = form(conversation, config)
        reason = _contradiction(conversation, example, config.tags)
        if reason:
            done.problems.append(Problem(f"{file.path}, {conversation.id}", reason))
        else:
            yield example


def _contradiction(conversation: Conversation, example: JSON, tags: TagSettings) -> str:
    """Why a conversation cannot have this form; empty where it can."""
    if not tags.marks:
        return ""
    for before in conversation.conversations:
        if before["role"] == "assistant" and (taken := taken_marks(before["content"], tags)):
            return f"is left out: the model wrote {taken[0]} where it was no action, and here it is"
    for after in example.get("conversations") or example["messages"]:
        if left := contradictions(after["content"], after["role"], tags):
            return (
                f"is left out: it would still say {left[0]!r}, which this form does not have; "
                "tags.words can give what to say instead"
            )
    return ""


def _reformed(conversation: Conversation, tags: TagSettings) -> str:
    """Give a conversation its form in place; says why where it cannot have it."""
    before = msgspec.structs.replace(
        conversation, conversations=[one.copy() for one in conversation.conversations]
    )
    for one in conversation.conversations:
        one["content"] = rewritten(one["content"], tags)
    return _contradiction(before, msgspec.structs.asdict(conversation), tags)


def _messages(conversation: Conversation, config: ConvertConfig, *, cut: bool) -> list[Masked]:
    """The messages in the form of the tags; with no mask nothing is trained, nor cut."""
    messages = conversation.conversations
    if config.loss is None:
        return [Masked(one["role"], rewritten(one["content"], config.tags), 0) for one in messages]
    return masked(messages, config.loss, config.tags, cut=cut)


def _sft(conversation: Conversation, config: ConvertConfig) -> JSON:
    """`loss` is true of messages that are trained as a whole.

    One that is trained in part has `spans`: where each begins and ends, in characters.
    """
    messages: list[JSON] = []
    for one in _messages(conversation, config, cut=False):
        message: JSON = {"role": one.role, "content": one.content}
        if config.loss is not None:
            message["loss"] = one.whole
        if one.trained and not one.whole:
            message["spans"] = [[0, one.trained]]
        messages.append(message)
    return {"id": conversation.id, "conversations": messages}


def _rows(conversation: Conversation, config: ConvertConfig) -> JSON:
    """As `_sft`, for programs that train a message as a whole or not at all: messages are cut."""
    messages: list[JSON] = []
    for one in _messages(conversation, config, cut=True):
        message: JSON = {"role": one.role, "content": one.content}
        if config.loss is not None:
            message["loss"] = one.whole
        messages.append(message)
    return {"id": conversation.id, "conversations": messages}


def _openai(conversation: Conversation, config: ConvertConfig) -> JSON:
    """The chat format; it calls the mask `weight`, has it for the assistant only, and has no id."""
    messages = _rows(conversation, config)["conversations"]
    for message in messages:
        trained = message.pop("loss", None)
        if trained is not None and message["role"] == "assistant":
            message["weight"] = int(trained)
    return {"messages": messages}


_Form = Callable[[Conversation, ConvertConfig], JSON]
_FORMS: dict[str, _Form] = {"sft": _sft, "openai": _openai}


# Data sets of a hub


def _write_hf(files: list[DataFile], folder: Path, config: ConvertConfig, done: Converted) -> None:
    """One split for each file, as parquet, and the card."""
    from datasets import (  # type: ignore[import-untyped]
        Dataset,
        Features,
        Value,
        disable_progress_bars,
    )

    disable_progress_bars()
    message = {"role": Value("string"), "content": Value("string")}
    if config.loss is not None:
        message["loss"] = Value("bool")
    features = Features({"id": Value("string"), "conversations": [message]})
    (folder / "data").mkdir()
    written = []
    for file in files:
        split = _split_name(file.name)
        name = f"data/{split}-00000-of-00001.parquet"

        def rows(file: DataFile = file) -> Iterator[JSON]:
            yield from _examples(file, _rows, config, done)

        # The library finds what it made before by a digest of the generator, which ours lacks.
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".cache-") as cache:
            try:
                made: Any = Dataset.from_generator(rows, features=features, cache_dir=cache)
            except ValueError as error:
                if "corresponds to no data" not in str(error):
                    raise
                done.problems.append(Problem(str(file.path), "has no conversation"))
                continue
            made.to_parquet(str(folder / name))
            done.examples[name] = made.num_rows
        written.append(Split(split, name, file.path, done.examples[name]))
    text = card(
        written,
        licence=config.licence,
        loss=config.loss,
        tags=config.tags,
        left_out=len(done.problems),
    )
    (folder / CARD).write_text(text, encoding="utf-8")


def _split_name(name: str) -> str:
    """A hub's splits are words joined by underscores and dots."""
    return "".join(char if char.isalnum() or char == "." else "_" for char in name)


def _push(folder: Path, config: ConvertConfig) -> None:
    from datasets import load_dataset
    from huggingface_hub import HfApi

    repository = str(config.repository)
    try:
        with tempfile.TemporaryDirectory(prefix="codeact-push-") as cache:
            made = load_dataset(str(folder), cache_dir=cache)
            made.push_to_hub(repository, private=config.private)
        HfApi().upload_file(
            path_or_fileobj=folder / CARD,
            path_in_repo=CARD,
            repo_id=repository,
            repo_type="dataset",
        )
    except Exception as error:  # any error of the libraries, for a network or a token
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ConfigError(
            f"{repository}: could not be pushed ({reason}); everything is written to {folder}: "
            "give the same command where the hub can be reached, with a token in HF_TOKEN"
        ) from error
