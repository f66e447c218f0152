"""Tokenizer folders as transformers saves them, with byte-level tokens and any chat template."""

import json
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

MARKS = ("<|im_start|>", "<|im_end|>")
GENERATION = (
    "{{ bos_token }}{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% if m.role == 'assistant' %}{% generation %}{{ m.content }}<|im_end|>{% endgeneration %}"
    "{% else %}{{ m.content }}<|im_end|>{% endif %}{{ '\n' }}{% endfor %}"
)
"""ChatML with what is generated marked, and a token for the beginning."""


def tokenizer_folder(
    folder: Path, template: str | list[dict[str, str]] | None, *, apart: bool = False
) -> Path:
    """Write a folder; the template stands in a file `apart`, or in the configuration."""
    folder.mkdir(parents=True)
    tokens = Tokenizer(
        models.BPE(
            vocab={one: n for n, one in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))},
            merges=[],
        )
    )
    tokens.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokens.decoder = decoders.ByteLevel()
    tokens.add_special_tokens([AddedToken(one, special=True) for one in ("<s>", *MARKS)])
    tokens.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<s>",
        "eos_token": {"__type": "AddedToken", "content": "<|im_end|>", "special": True},
    }
    if apart:
        assert isinstance(template, str)
        (folder / "chat_template.jinja").write_text(template)
    elif template is not None:
        settings["chat_template"] = template
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder
