"""Conversations in the formats that training programs read: messages, text, packed tokens."""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import IO, NamedTuple

import msgspec

from codeact.collection import examples as forms
from codeact.collection.atif_export import AtifExport, write_trajectories
from codeact.collection.conversations import DataFile, conversation_files
from codeact.collection.convert_settings import ConvertConfig
from codeact.collection.encoding import Encode, encoder
from codeact.collection.examples import Form, encoded, examples, reformed
from codeact.collection.hub import MORE, SplitRows, push, write_card, write_split
from codeact.collection.mixing import MIXED, MixedSource, Mixer
from codeact.collection.packing import PackReport, write_packed
from codeact.collection.pairs import write_pairs
from codeact.collection.texts import text_form
from codeact.collection.token_export import ROWS_FILE, TokenExport, write_token_rows
from codeact.episode.messages import JSON
from codeact.exceptions import ConfigError, RecordingError
from codeact.folders import whole_folder
from codeact.recordings.trajectory import Problem

REPORT = "conversion.json"
_SAMPLE_OF_PROBLEMS = 20
_MESSAGES = {"sft": forms.sft, "openai": forms.openai, "hf": forms.rows}
_TOKENIZERS = {"chatml": "qwen3", "qwen3": "qwen3", "llama3": "llama3"}
"""Whose vocabulary has the format's own tokens."""


class Converted(msgspec.Struct):
    """What was written: the number of examples (or packed rows) by the name of their file."""

    examples: dict[str, int]
    problems: list[Problem]
    mix: list[MixedSource] = []
    packing: dict[str, PackReport] = {}
    tokens: TokenExport | None = None
    atif: AtifExport | None = None


class _Output(NamedTuple):
    """One file to be written: its name without an ending, its sources and its examples."""

    name: str
    sources: list[Path]
    examples: Iterator[JSON]


def convert_files(config: ConvertConfig) -> Converted:
    """Write the sources in a format, and push them on request."""
    done = Converted({}, [])
    with whole_folder(Path(config.out)) as folder:
        if config.format == "tokens":
            done.tokens = write_token_rows(
                config.sources,
                folder / ROWS_FILE,
                episodes=config.episodes,
                tokenizer=config.tokenizer,
                problems=done.problems,
            )
            done.examples[ROWS_FILE] = done.tokens.rows
        elif config.format == "atif":
            done.atif = write_trajectories(
                config.sources,
                folder,
                episodes=config.episodes,
                reasoning=config.reasoning == "keep",
                problems=done.problems,
            )
            done.examples["*.json"] = done.atif.trajectories
        elif config.format == "preference":
            done.examples["pairs.jsonl"] = write_pairs(
                config.sources,
                folder / "pairs.jsonl",
                settings=config.selection,
                most=config.pairs,
                reform=lambda conversation: reformed(conversation, config),
                problems=done.problems,
            )
        else:
            _write_conversations(folder, config, done)
        if not sum(done.examples.values()):
            places = [f"\n{one.place}: {one.reason}" for one in done.problems]
            said = "".join(places[:_SAMPLE_OF_PROBLEMS])
            raise RecordingError(f"{', '.join(config.sources)}: gives no example{said}")
        if report := _report(done):
            content = msgspec.json.format(msgspec.json.encode(report), indent=2)
            (folder / REPORT).write_bytes(content + b"\n")
    if config.push:
        push(Path(config.out), config)
    return done


def _report(done: Converted) -> JSON:
    """What ``conversion.json`` says; empty where the number of examples says all."""
    if done.tokens is not None:
        return {"tokens": done.tokens, "problems": len(done.problems)}
    if done.mix or done.packing:
        return {"mix": done.mix, "packing": done.packing, "problems": len(done.problems)}
    return {}


def _write_conversations(folder: Path, config: ConvertConfig, done: Converted) -> None:
    files = conversation_files(config.sources)
    with ExitStack() as stack:
        encode: Encode | None = None
        if config.is_text:
            form, stop = stack.enter_context(text_form(config))
            encode = encoder(_tokenizer(config), stop) if config.pack else None
        else:
            form = partial(_MESSAGES[config.format], config=config)
        if config.mix:
            spool = stack.enter_context(tempfile.TemporaryFile(dir=folder.parent))
            outputs = [_mixed(files, form, spool, config, done)]
        else:
            outputs = [_plain(file, form, config, done) for file in files]
        _refuse_own_output(outputs, config)
        if config.format == "hf":
            _write_hf(outputs, folder, config, done)
            return
        for output in outputs:
            if encode is not None:
                _write_packed(output, folder, encode, config, done)
            else:
                _write_jsonl(output, folder, done)


def _tokenizer(config: ConvertConfig) -> str:
    return config.tokenizer or config.template or _TOKENIZERS[config.format]


def _plain(file: DataFile, form: Form, config: ConvertConfig, done: Converted) -> _Output:
    found = examples(file.path, form, config.tags, done.problems)
    return _Output(file.name, [file.path], (example for _, example in found))


def _mixed(
    files: list[DataFile], form: Form, spool: IO[bytes], config: ConvertConfig, done: Converted
) -> _Output:
    mixer = Mixer(config, files, spool)
    mixer.read(form, done.problems)
    done.mix = mixer.report
    return _Output(MIXED, [file.path for file in mixer.files], mixer.drawn())


def _refuse_own_output(outputs: list[_Output], config: ConvertConfig) -> None:
    """A file is not replaced by its own conversion."""
    for output in outputs:
        target = (Path(config.out) / f"{output.name}.jsonl").resolve()
        for path in output.sources:
            if path.resolve() == target:
                raise ConfigError(f"out={config.out}: would replace {path}; choose another folder")


def _write_jsonl(output: _Output, folder: Path, done: Converted) -> None:
    name = f"{output.name}.jsonl"
    done.examples[name] = 0
    with (folder / name).open("wb") as out:
        for example in output.examples:
            out.write(encoded(example))
            done.examples[name] += 1


def _write_packed(
    output: _Output, folder: Path, encode: Encode, config: ConvertConfig, done: Converted
) -> None:
    name = f"{output.name}.parquet"
    assert config.pack is not None
    done.packing[name] = write_packed(
        output.examples,
        folder / name,
        encode,
        length=config.pack,
        tokenizer=_tokenizer(config),
    )
    done.examples[name] = done.packing[name].rows


def _write_hf(outputs: list[_Output], folder: Path, config: ConvertConfig, done: Converted) -> None:
    """One split for each output, as parquet, and the card."""
    splits = []
    with ExitStack() as stack:
        found = []
        for output in outputs:
            found.append(SplitRows(output.examples, folder.parent))
            stack.callback(found[-1].close)
        keys = set().union(*(rows.keys for rows in found))
        more = [key for key in MORE if key in keys]
        for output, rows in zip(outputs, found, strict=True):
            split = write_split(
                rows,
                folder,
                output.name,
                output.sources,
                masked=config.loss is not None,
                more=more,
            )
            if split is None:
                place = ", ".join(map(str, output.sources))
                done.problems.append(Problem(place, "has no conversation"))
            else:
                done.examples[split.file] = split.examples
                splits.append(split)
    write_card(splits, folder, config, done.problems)
