#!/usr/bin/env python3
"""Make a tiny language model that vLLM serves on a CPU: random weights, nothing to download.

    VENV/bin/python launchers/tiny_model.py FOLDER

VENV is an environment that has vLLM, and so transformers and tokenizers (``small_model.py
convert`` builds one for the CPU). FOLDER, outside the repository, ends up at 1 MB: a Llama of
two layers, a byte-level tokenizer learnt from this project's own text, and a chat template. It
writes gibberish at thousands of tokens a second, so that servers and what stands in front of them
can be tested for real; it measures nothing.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import tempfile
from pathlib import Path
from typing import Any

SEED = 20
VOCABULARY = 1024
LEAST = 258
"""Every byte, and two special tokens: no room for a merge."""
CONTEXT = 8192
BEGIN, END = "<|im_start|>", "<|im_end|>"
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% set said = message['content'] %}"
    # As the templates of reasoning models do, where chat_template_kwargs say so.
    "{% if strip_reasoning and message['role'] == 'assistant' %}"
    "{% set said = said.split('</think>')[-1].lstrip('\\n') %}"
    "{% endif %}"
    f"{BEGIN}{{{{ message['role'] }}}}\n{{{{ said }}}}{END}\n"
    "{% endfor %}"
    f"{{% if add_generation_prompt %}}{BEGIN}assistant\n{{% endif %}}"
)
TEXT = ("*.md", "codeact/**/*.py", "codeact/sample/**/*.jsonl")


def text() -> list[str]:
    """Our own files, which the tokenizer learns from."""
    root = Path(__file__).resolve().parent.parent
    files = sorted(path for pattern in TEXT for path in root.glob(pattern))
    return [path.read_text(encoding="utf-8") for path in files]


def make_tokenizer(*, single_bytes: bool) -> Any:
    """A byte-level BPE: every text has tokens, and they give the text back.

    With single bytes, a text has only one row of tokens, whoever writes it.
    """
    tokenizers = importlib.import_module("tokenizers")
    transformers = importlib.import_module("transformers")
    bpe = tokenizers.Tokenizer(tokenizers.models.BPE())
    bpe.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=LEAST if single_bytes else VOCABULARY,
        special_tokens=[BEGIN, END],
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(text(), trainer)
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=bpe, eos_token=END, pad_token=END, model_max_length=CONTEXT
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def make_model(tokenizer: Any) -> Any:
    """Random weights, spread widely enough that the next token is not the same everywhere."""
    torch = importlib.import_module("torch")
    transformers = importlib.import_module("transformers")
    torch.manual_seed(SEED)
    config = transformers.LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=CONTEXT,
        initializer_range=0.3,
        tie_word_embeddings=False,
        bos_token_id=tokenizer.convert_tokens_to_ids(BEGIN),
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return transformers.LlamaForCausalLM(config)


def make(folder: Path, *, single_bytes: bool) -> None:
    """Write the model; FOLDER gets its name only when it is complete."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    tokenizer = make_tokenizer(single_bytes=single_bytes)
    with tempfile.TemporaryDirectory(prefix=".tiny-", dir=folder.parent) as scratch:
        partial = Path(scratch) / "model"
        make_model(tokenizer).save_pretrained(partial)
        tokenizer.save_pretrained(partial)
        partial.replace(folder)


def main() -> int:
    """Make the model, unless it is there."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--bytes", action="store_true", help="a token is a byte")
    options = parser.parse_args()
    folder: Path = options.folder
    if (folder / "config.json").is_file():
        sys.stderr.write(f"tiny_model: {folder} is there\n")
        return 0
    make(folder, single_bytes=options.bytes)
    sys.stderr.write(f"tiny_model: {folder} is made\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
