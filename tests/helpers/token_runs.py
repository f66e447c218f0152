"""Runs whose token ids are known: a byte-level tokenizer, a chat template, and what was sampled."""

from collections.abc import Sequence
from pathlib import Path

from tokenizers import Tokenizer

from codeact.collection.templates import CompiledTemplate
from codeact.episode.effects import Usage
from codeact.episode.record import EpisodeRecord
from codeact.episode.tokens import CompletionTokens, TokenLog, pack_ids, pack_logprobs
from codeact.experiment.identity import RequestedRun
from codeact.recordings.run_folder import EXACT, RunFolder
from tests.helpers.records import configured, reasoning_record
from tests.helpers.tokenizer_folders import GENERATION, tokenizer_folder

ASKED = RequestedRun(
    config=configured(), values={"label": "s", EXACT[0]: EXACT[1], "model.revision": "r1"}
)
STOP = "<|im_end|>"


class Sampler:
    """Makes the tokens of requests as a server with ChatML would; `texts` is what it sampled."""

    def __init__(self, folder: Path) -> None:
        self.folder = tokenizer_folder(folder, GENERATION)
        self.tokenizer = Tokenizer.from_file(str(self.folder / "tokenizer.json"))
        self.texts: dict[str, list[str]] = {}

    def ids(self, text: str) -> list[int]:
        return list(self.tokenizer.encode(text, add_special_tokens=False).ids)

    def text(self, ids: Sequence[int]) -> str:
        return str(self.tokenizer.decode(ids, skip_special_tokens=False))

    def record(
        self, task_id: str = "1", *, kept: bool = True, stops: bool = True, **changes: object
    ) -> EpisodeRecord:
        """A record with tokens. Later prompts have the reasoning if `kept`; `stops` as it says."""
        record = reasoning_record(task_id)
        for name, value in changes.items():
            setattr(record, name, value)
        template = CompiledTemplate(GENERATION, {"bos_token": "<s>"})
        log, texts = TokenLog(), []
        history: list[dict[str, str]] = []
        for message in record.messages:
            content = message["content"]
            if message["role"] == "assistant":
                said = f"<think>{message['reasoning']}</think>{content}"
                prompt = template.render(history, {}).text + "<|im_start|>assistant\n"
                texts.append(said + STOP if stops else said)
                self._ask(log, prompt, texts[-1])
                content = said if kept else content
            history.append({"role": message["role"], "content": content})
        record.tokens, record.token_report = log.turns, log.report
        for turn, said in zip(record.turns, texts, strict=True):
            turn.usage = Usage(turn.usage.prompt, len(self.ids(said)))
        record.usage = sum((turn.usage for turn in record.turns), Usage())
        self.texts[task_id] = texts
        return record

    def _ask(self, log: TokenLog, prompt: str, said: str) -> None:
        sampled = self.ids(said)
        tokens = CompletionTokens(
            prompt=pack_ids(self.ids(prompt)),
            sampled=pack_ids(sampled),
            logprobs=pack_logprobs([-0.5 * (n + 1) for n in range(len(sampled))]),
            finish_reason="stop",
            temperature=0.75,
        )
        log.add(len(log.turns), tokens)


def play(folder: Path, *records: EpisodeRecord, session: int = 1) -> Path:
    """Write records and their tokens as a session of a run; returns the folder."""
    return resumed(folder, *records, session=session).path


def resumed(folder: Path, *records: EpisodeRecord, session: int = 1) -> RunFolder:
    """The same; returns what was found there as the session began."""
    opened = RunFolder.open(folder, ASKED)
    opened.session = session
    for record in records:
        opened.append(record)
    opened.close()
    return opened
