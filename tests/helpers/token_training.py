"""Run by an interpreter with transformers: samples from a small model, and what it says of rows.

``sample FOLDER EPISODES`` samples conversations of two turns from the model in FOLDER, at
temperature 1, and prints ``{prompt, sampled, logprobs}`` for each request, two for each episode.
``compare FOLDER FILE`` prints how far log probabilities by the model are from those of the rows.
"""

import json
import sys
from typing import Any

OBSERVATION = "\nObservation:\nOut[1]: 2\n"


def sample(folder: str, episodes: str) -> None:
    """Print requests; each second one goes on from what was sampled in the first, id by id."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.manual_seed(7)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    for number in range(int(episodes)):
        text = f"<|im_start|>user\nAdd {number} and 1.<|im_end|>\n<|im_start|>assistant\n"
        prompt = tokenizer(text, add_special_tokens=False).input_ids
        for _ in range(2):
            sampled, logprobs = _answer(model, prompt)
            sys.stdout.write(
                json.dumps({"prompt": prompt, "sampled": sampled, "logprobs": logprobs}) + "\n"
            )
            more = f"{OBSERVATION}<|im_end|>\n<|im_start|>assistant\n"
            prompt = [*prompt, *sampled, *tokenizer(more, add_special_tokens=False).input_ids]


def _answer(model: Any, prompt: list[int]) -> tuple[list[int], list[float]]:
    import torch

    made = model.generate(
        torch.tensor([prompt]),
        do_sample=True,
        temperature=1.0,
        top_k=0,
        top_p=1.0,
        max_new_tokens=24,
        output_logits=True,
        return_dict_in_generate=True,
    )
    sampled = made.sequences[0, len(prompt) :].tolist()
    logprobs = [
        float(torch.log_softmax(logits[0].float(), -1)[one])
        for logits, one in zip(made.logits, sampled, strict=True)
    ]
    return sampled, logprobs


def compare(folder: str, file: str) -> None:
    """Print the largest difference, and how many ids were looked at."""
    import torch
    from datasets import load_dataset
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    largest, count = 0.0, 0
    for row in load_dataset("parquet", data_files=file, split="train"):
        ids, mask = torch.tensor([row["token_ids"]]), torch.tensor(row["loss_mask"])[1:]
        with torch.no_grad():
            logits = model(ids).logits[0, :-1] / (row["temperature"] or 1.0)
        own = torch.log_softmax(logits, -1).gather(1, ids[0, 1:, None])[:, 0]
        apart = (own - torch.tensor(row["logprobs"])[1:])[mask].abs()
        largest, count = max(largest, float(apart.max())), count + len(apart)
    sys.stdout.write(json.dumps({"largest": largest, "count": count}))


if __name__ == "__main__":
    {"sample": sample, "compare": compare}[sys.argv[1]](*sys.argv[2:])
