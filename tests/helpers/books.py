"""A server on loopback that keeps the books of every token that it charges, faults included."""

import json
from collections.abc import Sequence
from typing import Any, Literal

from codeact.episode.effects import Usage
from codeact.models.base import Prices
from tests.helpers.fake_api import Reply, Seen

PRICES = Prices(prompt=0.37, completion=1.9, cached=0.05)
Fault = Literal["", "no usage", "500", "500 with usage", "429", "garbage", "no choices", "cut"]
FAULTS: tuple[Fault, ...] = (
    "",
    "no usage",
    "500",
    "500 with usage",
    "429",
    "garbage",
    "no choices",
    "cut",
)
FREE: tuple[Fault, ...] = ("500", "429")
SILENT: tuple[Fault, ...] = ("no usage", "garbage", "cut")
"""What is charged, and says no usage."""


class Books:
    """Answers as a script of faults and of texts says, both over and over again.

    `told` has the usage of every request that was charged and said so, no two alike; `silent`
    counts those that were charged and did not. `checks` are what the told ones took that asked for
    one token. Once it is `closed`, nothing is charged, and nobody gets an answer.
    """

    def __init__(
        self, faults: Sequence[Fault], texts: Sequence[str], comments: Sequence[str] = ("Go on.",)
    ) -> None:
        self.faults, self.texts, self.comments = faults, texts, comments
        self.told: list[Usage] = []
        self.checks = 0
        self.silent = self.cuts = 0
        self.closed = False

    def __call__(self, seen: Seen, number: int) -> Reply:
        if self.closed:
            return Reply(hang="before")
        fault = self.faults[number % len(self.faults)]
        self.cuts += fault == "cut"
        usage = self._usage(number)
        if fault in SILENT:
            self.silent += 1
        elif fault not in FREE:
            self.told.append(usage)
            self.checks += usage.total if seen.body.get("max_tokens") == 1 else 0
        return self._reply(fault, self._text(seen, number), usage)

    def _usage(self, number: int) -> Usage:
        prompt, completion = 101 + 7 * number, 11 + number % 13
        return Usage(prompt, completion, cached=prompt // 3 if number % 2 else 0)

    def _text(self, seen: Seen, number: int) -> str:
        said = json.dumps(seen.body["messages"])
        texts = self.comments if "Expert feedback" in said.rpartition('"role"')[2] else self.texts
        return texts[number % len(texts)]

    def _reply(self, fault: Fault, text: str, usage: Usage) -> Reply:
        told = told_as(usage)
        error = {"error": {"message": "too late"}, "usage": told}
        replies = {
            "no usage": Reply(text=text, usage=None),
            "500": Reply(status=500),
            "500 with usage": Reply(status=500, body=json.dumps(error).encode()),
            "429": Reply(status=429, headers={"Retry-After": "0"}),
            "garbage": Reply(body=b'{"choices": [{"mess'),
            "no choices": Reply(body=json.dumps({"choices": [], "usage": told}).encode()),
            "cut": Reply(text=text, usage=told, cut=True),
        }
        return replies.get(fault) or Reply(text=text, usage=told)


def dollars(usages: Sequence[Usage]) -> float:
    """Return what requests cost, added up in whole pico-dollars."""
    return sum(round(PRICES.cost(usage) * 1e12) for usage in usages) / 1e12


def told_as(usage: Usage) -> dict[str, Any]:
    """Return a usage in the API's words."""
    return {
        "prompt_tokens": usage.prompt,
        "completion_tokens": usage.completion,
        "prompt_tokens_details": {"cached_tokens": usage.cached},
    }
