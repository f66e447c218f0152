"""What transformers, torch and TRL make of our output; needs an interpreter that has them."""

import json
import math
import os
import re
import subprocess
from pathlib import Path

import pytest

from codeact.cli import main
from codeact.collection.rendering import TemplateProcess
from codeact.collection.templates import CompiledTemplate, Rendered
from codeact.collection.tokenizer_folder import read_folder
from codeact.resources import resolve_path
from tests.helpers.documents import ROOT
from tests.helpers.tokenizer_folders import GENERATION, tokenizer_folder

PYTHON = os.environ.get("CODEACT_TRAINING_PYTHON", "")
CHECK = ROOT / "tests" / "helpers" / "training_check.py"
PAGE = ROOT / "docs" / "training.md"
pytestmark = [
    pytest.mark.skipif(
        not PYTHON, reason="CODEACT_TRAINING_PYTHON names no interpreter with torch and TRL"
    ),
    pytest.mark.timeout(900),
]
OFFLINE = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""}
CONVERSATIONS = [
    [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "1 + 1?\n"},
        {"role": "assistant", "content": "<think>\nEasy.\n</think>\n\n 2"},
        {"role": "user", "content": "And é + 2?"},
        {"role": "assistant", "content": "4 "},
    ],
    [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "<think>a</think>Hello."}],
    [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}],
]
GENERATING = ["qwen3_instruct_2507_training", "llama3_training", "gemma_training", "phi3_training"]
REFERENCES = ["qwen3", "qwen2_5", "llama3", "llama3_1", "gemma", "phi3_5", "deepseekv3"]


def run(*words: str, stdin: str = "", cwd: Path | None = None) -> str:
    done = subprocess.run(
        [PYTHON, *words],
        input=stdin,
        cwd=cwd,
        env={**os.environ, **OFFLINE},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Tokenizer folders with the templates that TRL ships, and ours."""
    found = json.loads(run(str(CHECK), "templates"))
    chosen = {name: found[name] for name in dict.fromkeys([*GENERATING, *REFERENCES])}
    root = tmp_path_factory.mktemp("folders")
    for name in ("chatml", "llama3", "qwen3"):
        chosen[f"our-{name}"] = own(name)
    chosen["generation"] = GENERATION
    return {
        name: tokenizer_folder(root / name, template, apart=True)
        for name, template in chosen.items()
    }


@pytest.fixture(scope="module")
def theirs(folders: dict[str, Path]) -> dict[tuple[str, int], dict]:
    """What transformers renders, by folder and conversation."""
    asked = {
        (name, number): {"folder": str(folder), "messages": messages}
        for name, folder in folders.items()
        for number, messages in enumerate(CONVERSATIONS)
        if not (name.startswith("gemma") and messages[0]["role"] == "system")
    }
    given = "".join(f"{json.dumps(one)}\n" for one in asked.values())
    said = run(str(CHECK), "render", stdin=given)
    return dict(zip(asked, map(json.loads, said.splitlines()), strict=True))


def own(name: str) -> str:
    return resolve_path(f"pkg://codeact.collection/chat_templates/{name}.jinja").read_text()


def trained(found: Rendered) -> str:
    return "".join(found.text[start:end] for start, end in found.generated)


def test_any_folders_template_gives_the_text_and_mask_of_transformers(
    folders: dict[str, Path], theirs: dict[tuple[str, int], dict]
) -> None:
    masks = 0
    for name, folder in folders.items():
        read = read_folder(folder)
        with TemplateProcess(name, read.template, read.tokens, {}) as process:
            for number, messages in enumerate(CONVERSATIONS):
                if (name, number) not in theirs:
                    continue
                found, reference = process.render(messages), theirs[name, number]
                assert found.text == reference["text"], name
                assert process.marks_generation == (reference["trained"] is not None), name
                if process.marks_generation:
                    masks += 1
                    assert trained(found) == reference["trained"], name
    assert masks >= 3 * len(GENERATING)


@pytest.mark.parametrize("name", ["llama3", "qwen3"])
def test_our_words_of_a_format_render_as_its_reference(
    name: str, theirs: dict[tuple[str, int], dict]
) -> None:
    for number, messages in enumerate(CONVERSATIONS):
        found = CompiledTemplate(own(name), {}).render(messages, {})
        reference = theirs[name, number]["text"]
        # The folders here call their first token <s>.
        assert found.text.replace("<|begin_of_text|>", "<s>") == reference


CALL = {"name": "python", "arguments": {"code": "1 + é", "n": 2}}
CALLING = [
    {"role": "user", "content": "1 + 1?"},
    {
        "role": "assistant",
        "content": "I look.",
        "reasoning_content": "Both.\n",
        "tool_calls": [{"id": one, "type": "function", "function": CALL} for one in "ab"],
    },
    {"role": "tool", "content": "2", "tool_call_id": "a", "name": "python"},
    {"role": "tool", "content": "3", "tool_call_id": "b", "name": "python"},
    {"role": "assistant", "content": "", "tool_calls": [{"type": "function", "function": CALL}]},
    {"role": "tool", "content": "4", "tool_call_id": "", "name": "python"},
    {"role": "assistant", "content": "Four.", "reasoning_content": "Done."},
]


def test_reasoning_and_calls_render_as_qwen3s_own_template_and_are_masked(
    folders: dict[str, Path],
) -> None:
    given = [
        {"folder": str(folders[name]), "messages": CALLING[: end + 1]}
        for end in (1, 4, 6)
        for name in ("qwen3", "our-qwen3")
    ]
    said = run(str(CHECK), "render", stdin="".join(f"{json.dumps(one)}\n" for one in given))
    found = [json.loads(one) for one in said.splitlines()]
    for end, reference, ours in zip((1, 4, 6), found[::2], found[1::2], strict=True):
        assert ours["text"] == reference["text"]
        rendered = CompiledTemplate(own("qwen3"), {}).render(CALLING[: end + 1], {})
        assert rendered.text == reference["text"]
        assert trained(rendered) == ours["trained"]
        assert "tool_response" not in trained(rendered)


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the page's commands ran, for its examples."""
    root = tmp_path_factory.mktemp("training")
    sample, runs = ROOT / "codeact" / "sample" / "recordings", root / "runs"
    steps = ["selection.steps.per_task=null"]
    assert main(["select", str(sample), f"out={runs / 'to_train'}", *steps]) == 0
    chosen = ["format=qwen3", "pack=1024", f"out={runs / 'packed'}"]
    assert main(["convert", str(runs / "to_train" / "easy.jsonl"), *chosen]) == 0
    return root


@pytest.mark.parametrize("program", ["torch", "TRL"])
def test_the_pages_example_trains_a_step(program: str, packed: Path) -> None:
    text = PAGE.read_text(encoding="utf-8")
    example = re.search(rf"\n## In {program}\n.*?```python\n(.*?)```", text, re.DOTALL)
    assert example
    said = run("-c", example[1], cwd=packed)
    loss = re.search(r"^loss ([\d.]+) (.*)$", said, re.MULTILINE)
    assert loss, said
    # Random weights are as good as chance: the logarithm of the vocabulary's size.
    assert float(loss[1]) == pytest.approx(math.log(151_936), abs=0.2)
    report = json.loads((packed / "runs" / "packed" / "conversion.json").read_text())
    assert report["packing"]["easy.parquet"]["rows"] > 1
    assert ("tokens" in loss[2]) if program == "torch" else ("1 step" in loss[2])


def test_a_rows_loss_is_that_of_its_examples_alone(packed: Path) -> None:
    """With the stated boundaries no token sees another example; without them some do."""
    found = json.loads(run(str(CHECK), "boundaries", str(packed / "runs/packed/easy.parquet")))
    assert found["examples"] > 1
    assert found["trained"] > 100
    assert found["positions"]
    assert found["packed"] == pytest.approx(found["alone"], rel=1e-5)
    assert abs(found["without"] - found["alone"]) > 1e-4
