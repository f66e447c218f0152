"""Counts the tokens of conversations, by data set and tier."""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from codeact.collection.conversations import conversation_files, data_set_of, read_conversations
from codeact.episode.messages import Message
from codeact.episode.settings import Settings
from codeact.exceptions import ConfigError, RecordingError
from codeact.folders import whole_folder
from codeact.recordings.trajectory import Problem
from codeact.wording import nearest

ENCODINGS = {
    "cl100k": "cl100k_base",
    "o200k": "o200k_base",
    "llama3": "llama3",
    "qwen3": "qwen3",
}
SENTENCEPIECE = "sentencepiece:"
ALL = "all"
STATISTICS = "statistics.json"
_BATCH = 256
_THREADS = 2

CountTokens = Callable[[Sequence[str]], Sequence[int]]
"""Tokens of each text, without one for its beginning."""


class StatsConfig(Settings):
    """``codeact stats``. Sources are files of conversations or folders of them; `out` is a folder.

    `limit` is the length in tokens at which training cuts an example off.
    """

    source: str | list[str]
    """Files of conversations, or folders of them."""
    out: str
    """The folder for tables and plots."""
    tokenizer: str
    """The tokenizer to count with."""
    limit: int = Field(ge=1)
    """The length in tokens at which training cuts an example off."""

    @property
    def sources(self) -> list[str]:
        return [self.source] if isinstance(self.source, str) else self.source


class TokenStatistics(msgspec.Struct, frozen=True):
    """The lengths of some examples, in tokens."""

    tier: str
    task: str
    examples: int
    tokens: int
    mean: float
    p50: int
    p90: int
    p99: int
    longest: int
    clipped_tokens: int
    clipped_mean: float
    clipped_share: float


class StatisticsReport(msgspec.Struct):
    """What ``statistics.json`` has; in `rows`, the task ``all`` sums a tier up."""

    tokenizer: str
    limit: int
    files: dict[str, str]
    rows: list[TokenStatistics]
    problems: list[Problem]


class TokenLengths(NamedTuple):
    """The number of tokens of every example of a tier, by task."""

    tier: str
    by_task: dict[str, NDArray[np.int64]]

    @property
    def all(self) -> NDArray[np.int64]:
        return np.concatenate(list(self.by_task.values()))


def chatml(messages: Sequence[Message]) -> str:
    """Render a conversation as ChatML (docs/selection.md, "Counting tokens")."""
    return "".join(f"<|im_start|>{one['role']}\n{_whole(one)}<|im_end|>\n" for one in messages)


def _whole(message: Message) -> str:
    """A message's text with its reasoning and calls, as Qwen3 writes them."""
    text = message["content"]
    if "reasoning" in message:
        text = f"<think>\n{message['reasoning']}\n</think>\n\n{text}"
    for call in message.get("tool_calls", ()):
        said = f'{{"name": "{call["name"]}", "arguments": {call["arguments"]}}}'
        text += f"\n<tool_call>\n{said}\n</tool_call>"
    return text


def token_counter(tokenizer: str) -> CountTokens:
    """Return the tokenizer of a name, or of ``sentencepiece:PATH``; raises `ConfigError`."""
    if tokenizer.startswith(SENTENCEPIECE):
        return _sentencepiece(Path(tokenizer.removeprefix(SENTENCEPIECE)).expanduser())
    if tokenizer not in ENCODINGS:
        raise ConfigError(
            f"tokenizer: there is no {tokenizer!r} ({nearest(tokenizer, ENCODINGS)}); "
            f"a file is given as {SENTENCEPIECE}PATH"
        )
    import quicktok  # type: ignore[import-untyped]

    encoding = quicktok.get_encoding(ENCODINGS[tokenizer])
    return lambda texts: [int(n) for n in quicktok.count_batch(encoding, list(texts), _THREADS)]


def _sentencepiece(path: Path) -> CountTokens:
    from sentencepiece import SentencePieceProcessor

    if not path.is_file():
        raise ConfigError(f"tokenizer: there is no file {path}")
    try:
        model = SentencePieceProcessor(model_file=str(path))
    except (OSError, RuntimeError) as error:
        raise ConfigError(f"tokenizer: {path} is no SentencePiece model ({error})") from error
    return lambda texts: [len(ids) for ids in model.encode(list(texts), num_threads=_THREADS)]


def statistics(config: StatsConfig) -> StatisticsReport:
    """Count, and write ``statistics.json`` and the plots into `out`.

    Raises `RecordingError` where there is no conversation, and `ConfigError` for a tokenizer that
    cannot be had.
    """
    count = token_counter(config.tokenizer)
    files = conversation_files(config.sources)
    problems: list[Problem] = []
    found: list[TokenLengths] = []
    for file in files:
        lengths = TokenLengths(file.name, _lengths(file.path, count, problems))
        if lengths.by_task:
            found.append(lengths)
        else:
            problems.append(Problem(str(file.path), "has no conversation"))
    if not found:
        said = "".join(f"\n{one.place}: {one.reason}" for one in problems[:20])
        raise RecordingError(f"there is nothing to count{said}")
    rows = [row for lengths in found for row in _rows(lengths, config.limit)]
    paths = {file.name: str(file.path) for file in files}
    result = StatisticsReport(config.tokenizer, config.limit, paths, rows, problems)
    with whole_folder(Path(config.out)) as folder:
        text = msgspec.json.format(msgspec.json.encode(result), indent=2)
        (folder / STATISTICS).write_bytes(text + b"\n")
        _plot_lengths(folder / "lengths.png", found, config)
        _plot_tasks(folder / "tasks.png", found)
    return result


def _lengths(
    path: Path, count: CountTokens, problems: list[Problem]
) -> dict[str, NDArray[np.int64]]:
    found: dict[str, list[int]] = {}
    conversations = read_conversations(path, problems)
    rendered = ((data_set_of(one), chatml(one.conversations)) for one in conversations)
    while batch := list(islice(rendered, _BATCH)):
        counted = count([text for _, text in batch])
        for (task, _), tokens in zip(batch, counted, strict=True):
            found.setdefault(task, []).append(tokens + 1)  # the beginning of the text
    return {task: np.array(found[task], np.int64) for task in sorted(found)}


def _rows(lengths: TokenLengths, limit: int) -> Iterator[TokenStatistics]:
    for task, tokens in [*lengths.by_task.items(), (ALL, lengths.all)]:
        clipped = np.minimum(tokens, limit)
        p50, p90, p99 = np.percentile(tokens, [50, 90, 99], method="inverted_cdf").tolist()
        yield TokenStatistics(
            tier=lengths.tier,
            task=task,
            examples=len(tokens),
            tokens=int(tokens.sum()),
            mean=round(float(tokens.mean()), 2),
            p50=int(p50),
            p90=int(p90),
            p99=int(p99),
            longest=int(tokens.max()),
            clipped_tokens=int(clipped.sum()),
            clipped_mean=round(float(clipped.mean()), 2),
            clipped_share=round(float((tokens > limit).mean()), 6),
        )


def _plot_lengths(path: Path, found: Sequence[TokenLengths], config: StatsConfig) -> None:
    """How long examples are, tier by tier, and where training cuts them off."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    edges = np.linspace(0, max(int(one.all.max()) for one in found), 61)
    for one in found:
        axes.hist(one.all, bins=edges.tolist(), histtype="step", label=one.tier)
    axes.axvline(config.limit, color="grey", linestyle="--", label=f"limit {config.limit:,}")
    axes.set(xlabel=f"tokens ({Path(config.tokenizer).name})", ylabel="examples")
    axes.legend()
    figure.savefig(path, dpi=120)


def _plot_tasks(path: Path, found: Sequence[TokenLengths]) -> None:
    """How many tokens each data set gives, in every tier."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    tasks = sorted({task for one in found for task in one.by_task})
    figure = Figure(figsize=(8, 1.5 + 0.4 * len(tasks)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    left = np.zeros(len(tasks))
    for one in found:
        sums = np.array([one.by_task[task].sum() if task in one.by_task else 0 for task in tasks])
        axes.barh(tasks, sums, left=left, label=one.tier)
        left += sums
    axes.invert_yaxis()
    axes.set(xlabel="tokens")
    axes.legend()
    figure.savefig(path, dpi=120)
