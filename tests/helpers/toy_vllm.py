"""In vLLM's place, with token ids: a real tokenizer, chat templates, stop strings, no model."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from tokenizers import Tokenizer

from codeact.episode.messages import Message
from tests.helpers.fake_api import FakeApi, Reply, Seen
from tests.helpers.tokenizer_folders import MARKS, tokenizer_folder

BEGIN, END = MARKS
CELL = "<thought> Look. </thought>\n<execute> 6 * 7 </execute>"
ANSWER = "So it is <solution> 42 </solution>"
THOUGHT = "<think> I multiply. </think>\n\n"


class ToyVllm:
    """Answers by turn out of `texts` (the last one from then on), with ids as vLLM gives them.

    The template is ChatML; one that does not `keep_reasoning` leaves out what stands before
    ``</think>`` in earlier messages, as Qwen3's does. The tokenizer knows the pair `merged` as one
    token, and the sampled ids never have it if they are `split`. `spoil` changes an answer's JSON,
    given the number of the request.
    """

    def __init__(
        self,
        folder: Path,
        texts: Sequence[str] = (CELL, ANSWER),
        *,
        keep_reasoning: bool = True,
        merged: str = "ex",
        split: bool = False,
        spoil: Callable[[dict[str, Any], int], None] = lambda answer, number: None,
    ) -> None:
        self.folder = tokenizer_folder(Path(mkdtemp(dir=folder)) / "toy", None)
        file = self.folder / "tokenizer.json"
        known = json.loads(file.read_text())
        known["model"]["vocab"][merged] = len(known["model"]["vocab"])
        for token in known["added_tokens"]:
            token["id"] += 1
        self.bytes = Tokenizer.from_str(json.dumps(known))
        known["model"]["merges"] = [list(merged)]
        file.write_text(json.dumps(known))
        self.tokenizer = Tokenizer.from_file(str(file))
        self.texts = texts
        self.keep_reasoning = keep_reasoning
        self.split = split
        self.spoil = spoil
        self.api = FakeApi(self._answer)
        self.api.detokenize = self.text

    def text(self, ids: Sequence[int]) -> str:
        """What ids stand for, special tokens included."""
        text: str = self.tokenizer.decode(list(ids), skip_special_tokens=False)
        return text

    def prompt(self, messages: Sequence[Message]) -> str:
        parts = []
        for message in messages:
            content = message["content"]
            if message["role"] == "assistant" and not self.keep_reasoning:
                content = content.rpartition("</think>")[2].lstrip("\n")
            parts.append(f"{BEGIN}{message['role']}\n{content}{END}\n")
        return "".join(parts) + f"{BEGIN}assistant\n"

    def _answer(self, seen: Seen, number: int) -> Reply:
        body = seen.body
        plain = "prompt" in body
        prompt = body["prompt"] if plain else self.prompt(body["messages"])
        turn = 0 if plain else sum(one["role"] == "assistant" for one in body["messages"])
        written = self.texts[min(turn, len(self.texts) - 1)]
        text, until, ended = written, len(written), True
        for stop in body.get("stop", ()):
            if (at := written.find(stop)) >= 0:
                text, until, ended = written[:at], at + len(stop), False
        tokenizer = self.bytes if self.split else self.tokenizer
        sampled = tokenizer.encode(written[:until] + END * ended).ids
        choice: dict[str, Any] = {"index": 0, "finish_reason": "stop"}
        choice |= {"text": text} if plain else {"message": {"role": "assistant", "content": text}}
        ids = self.tokenizer.encode(prompt).ids
        answer: dict[str, Any] = {"choices": [choice]}
        if body.get("return_token_ids"):
            choice["token_ids"] = sampled
            (choice if plain else answer)["prompt_token_ids"] = ids
        if "logprobs" in body:
            found = [-0.125 * (n % 9) for n in range(len(sampled))]
            entries = [{"token": "", "logprob": one, "bytes": []} for one in found]
            choice["logprobs"] = {"token_logprobs": found} if plain else {"content": entries}
        answer["usage"] = {"prompt_tokens": len(ids), "completion_tokens": len(sampled)}
        self.spoil(answer, number)
        return Reply(body=json.dumps(answer).encode())

    def words(self, *given: str) -> list[str]:
        """A run of one sample task against it."""
        return [
            *("run", "model=server", "model.name=m", f"model.base_url={self.api.base_url}"),
            *("model.tokens=exact", "task=gsm8k", "limit=1", "tracker=none"),
            "task.sets.gsm8k.path=pkg://codeact.sample/tasks/gsm8k.jsonl",
            *("executor.preload=[]", "executor.warm=1", "executor=local"),
            *given,
        ]
