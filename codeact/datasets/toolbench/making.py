"""Makes the whole set of a seed: every domain at every difficulty, each task worked out."""

import json
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from codeact.datasets.toolbench.drawing import Draws
from codeact.datasets.toolbench.makers import agenda, ciphers, files, shop, trade, travel
from codeact.datasets.toolbench.makers.base import (
    CALLS,
    CallLog,
    Difficulty,
    DomainMaker,
    Draft,
    Template,
    Unsuitable,
)

MAKERS: Mapping[str, DomainMaker] = {
    "agenda": agenda.MAKER,
    "ciphers": ciphers.MAKER,
    "files": files.MAKER,
    "shop": shop.MAKER,
    "trade": trade.MAKER,
    "travel": travel.MAKER,
}
PER_DIFFICULTY = 5
"""Tasks of a domain at each difficulty."""
_EXAMPLE = "example"
_MOST_DRAWN = 1000
_TOO_EASY = (0, 42, "42")
"""Answers that who has not looked may give."""


def rows_of(seed: int) -> Iterator[dict[str, Any]]:
    """Make all rows of a seed. The first of them are of all domains, then of all difficulties."""
    for number in range(PER_DIFFICULTY):
        for difficulty in CALLS:
            for domain, maker in MAKERS.items():
                templates = maker.templates[difficulty]
                template = templates[number % len(templates)]
                yield _row((seed, domain, difficulty, number), maker, template)


def _row(
    key: tuple[object, str, Difficulty, int], maker: DomainMaker, template: Template
) -> dict[str, Any]:
    seed, domain, difficulty, number = key
    data, call, draft = _drawn(key, maker, template)
    return {
        "id": f"seed{seed}-{domain}-{difficulty}-{number}",
        "domain": domain,
        "difficulty": difficulty,
        "prompt": f"{maker.introduction}\n\n{draft.prompt}",
        "reference": draft.answer,
        "kind": draft.kind,
        "tolerance": draft.tolerance,
        "program": draft.program,
        "calls": [{"tool": tool, "arguments": arguments} for tool, arguments in call.made],
        "data": data,
    }


def _drawn(
    key: tuple[object, str, Difficulty, int], maker: DomainMaker, template: Template
) -> tuple[dict[str, Any], CallLog, Draft]:
    """Draw until the template makes a task of the difficulty; the same for the same key."""
    least, most = CALLS[key[2]]
    for attempt in range(_MOST_DRAWN):
        draws = Draws(*key, attempt)
        data = maker.data(draws)
        call = CallLog(maker.domain(data))
        try:
            draft = template(draws, call, data)
        except Unsuitable:
            continue
        if least <= len(call.made) <= most and draft.answer not in _TOO_EASY:
            return data, call, draft
    raise RuntimeError(f"{key}: no task in {_MOST_DRAWN} draws; its template asks for too much")


def example_row(domain: str) -> dict[str, Any]:
    """Make the task of a domain's worked example, of data that no other task has."""
    maker = MAKERS[domain]
    return _row((_EXAMPLE, domain, "few", 0), maker, maker.templates["few"][0])


@cache
def example_of(domain: str) -> dict[str, Any]:
    """Return a domain's worked example: by code, and by calls."""
    row = example_row(domain)
    live = MAKERS[domain].domain(row["data"])
    steps: list[dict[str, Any]] = []
    for call in row["calls"]:
        tool, arguments = call["tool"], call["arguments"]
        lead = "Next I need" if steps else "Only the tools know the data, so I begin with"
        value = getattr(live, tool)(**arguments)
        shown = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        steps.append(
            {
                "thought": f"{lead} {tool}.",
                "tool": tool,
                "arguments": arguments,
                "observation": shown,
            }
        )
    answer = str(row["reference"])
    return {
        "task": row["prompt"],
        "by_code": [
            {
                "thought": "A program can call the tools and print the answer.",
                "code": row["program"],
                "observation": answer,
            },
            {"thought": "The program has printed the answer.", "answer": answer},
        ],
        "by_tools": [*steps, {"thought": "These results give the answer.", "answer": answer}],
    }
