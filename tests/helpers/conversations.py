"""Conversations for tests of conversion, and the command's configuration."""

import json
from functools import cache
from pathlib import Path

from codeact.collection.convert_settings import ConvertConfig
from codeact.experiment.config.compose import Invocation, compose_config
from codeact.experiment.config.validation import validated

CODE_TURN = "I try.\n<execute> 1 + 1 </execute>"
FAILED = "Observation:\nTraceback\nNameError: name 'x' is not defined\nYou have 3 steps left."
FINE = "Observation:\nno Error at all\nYou have 3 steps left."
WRONG = "Observation:\nYour answer is wrong.\nYou have 2 steps left."
ANSWER = "It is <solution> 2 </solution>"


def messages(*texts: str) -> list[dict]:
    roles = ["user" if one.startswith("Observation:") else "assistant" for one in texts]
    opening = [("system", "Use <execute>."), ("user", "Task:\nAdd 1 and 1.")]
    return [
        {"role": role, "content": text}
        for role, text in (*opening, *zip(roles, texts, strict=True))
    ]


def conversation(number: int = 1, *texts: str) -> dict:
    chosen = texts or (CODE_TURN, FAILED, CODE_TURN, FINE, ANSWER)
    return {"id": f"reasoning/math/{number}/m/s", "conversations": messages(*chosen)}


def write(path: Path, *conversations: dict) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps(one) + "\n" for one in conversations))
    return path


@cache
def composed(*overrides: str) -> ConvertConfig:
    words = ("source=x", "out=y", *overrides)
    return validated(ConvertConfig, compose_config(Invocation("convert", words)))


def config(source: Path, out: Path, *overrides: str) -> ConvertConfig:
    return composed(*overrides).model_copy(update={"source": str(source), "out": str(out)})


def lines(path: Path) -> list[dict]:
    return [json.loads(one) for one in path.read_text().splitlines()]
