"""Run by an interpreter with transformers and TRL: what they make of templates and packed rows.

``render`` reads ``{folder, messages}`` lines and prints the text and the trained characters by
transformers. ``boundaries FILE`` compares a packed row's loss with that of its examples alone.
"""

import json
import re
import sys
from pathlib import Path


def render() -> None:
    """Print ``{text, trained}`` for every line; `trained` is null without a mask."""
    from transformers import AutoTokenizer

    for line in sys.stdin:
        asked = json.loads(line)
        tokenizer = AutoTokenizer.from_pretrained(asked["folder"])
        text = tokenizer.apply_chat_template(asked["messages"], tokenize=False)
        trained = None
        if re.search(r"\{%-?\s*generation", tokenizer.chat_template):
            found = tokenizer.apply_chat_template(
                asked["messages"], return_dict=True, return_assistant_tokens_mask=True
            )
            masked = zip(found["input_ids"], found["assistant_masks"], strict=True)
            trained = tokenizer.decode([one for one, mask in masked if mask])
        sys.stdout.write(json.dumps({"text": text, "trained": trained}) + "\n")


def templates() -> None:
    """Print the chat templates that TRL ships, by name."""
    import trl

    folder = Path(trl.__file__).parent / "chat_templates"
    found = {path.stem: path.read_text() for path in folder.glob("*.jinja")}
    sys.stdout.write(json.dumps(found))


def boundaries(file: str) -> None:
    """Print the loss of the first row, of its examples alone, and of the row without boundaries."""
    import torch
    from datasets import load_dataset
    from transformers import LlamaConfig, LlamaForCausalLM, set_seed
    from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

    set_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=151_936,
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            initializer_range=0.5,
        )
    ).eval()
    row = load_dataset("parquet", data_files=file, split="train")[0]
    whole = {key: row[key] for key in ("input_ids", "labels", "seq_lengths")}
    collate = DataCollatorForLanguageModeling(pad_token_id=0, padding_free=True)

    def loss(batch: dict) -> tuple[float, int]:
        given = {key: batch[key] for key in ("input_ids", "labels", "position_ids")}
        with torch.no_grad():
            trained = int((batch["labels"][:, 1:] != -100).sum())
            return float(model(**given, use_cache=False).loss), trained

    alone, start = [], 0
    for length in row["seq_lengths"]:
        part = {key: row[key][start : start + length] for key in ("input_ids", "labels")}
        alone.append(loss(collate([{**part, "seq_lengths": [length]}])))
        start += length
    batch = collate([whole])
    apart = sum(one * count for one, count in alone) / sum(count for _, count in alone)
    batch_without = dict(batch, position_ids=torch.arange(start)[None])
    sys.stdout.write(
        json.dumps(
            {
                "packed": loss(batch)[0],
                "alone": apart,
                "without": loss(batch_without)[0],
                "examples": len(alone),
                "trained": loss(batch)[1],
                "positions": batch["position_ids"][0].tolist() == row["position_ids"],
            }
        )
    )


if __name__ == "__main__":
    {"render": render, "templates": templates, "boundaries": boundaries}[sys.argv[1]](*sys.argv[2:])
