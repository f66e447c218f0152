"""Every data set, made of its raw sample, with a weaker and a strong model of known outcomes."""

import json
from pathlib import Path
from typing import NamedTuple

from codeact.cli import main
from codeact.datasets import get, load_tasks
from codeact.episode.task import Task
from tests.helpers.answers import Share, record_answers

SHARED = Path(__file__).parents[3] / "shared" / "data"
TASKS = 3
"""Of each data set; a third is one, and two thirds are two."""
RAW = {
    "apps": ["few_shot=0"],  # the first records are those that have solutions
    "gsm8k": [],
    "hotpotqa": [],
    "humaneval": [],
    "math": [],
    "mbpp": [],
    "mmlu": [],
    "strategyqa": [],
    "theoremqa": [],
    "wiki_table_questions": ["sample=3"],
}
"""What is prepared, and how; the raw folders have the same names."""
SUBJECTS = (
    "counting_and_probability",
    "geometry",
    "intermediate_algebra",
    "number_theory",
    "prealgebra",
    "precalculus",
)
"""The raw sample has no problem of algebra, so that missing=skip has something to skip."""
FAMILIES = {**dict.fromkeys(SUBJECTS, "math_train"), "math": "math"}
FAMILIES |= {name: name for name in RAW if name not in FAMILIES}
"""The family of every data set that is there in the end; `math` is that of the evaluation."""
SHARES = {
    "weak": Share(1 / 3, seed=1, cells=(1, 2)),
    "strong": Share(2 / 3, seed=2, cells=(2,)),
}
"""The strong tier has successes of more than two turns alone."""


class AllSets(NamedTuple):
    """Task files, recorded models, and who solves what of each data set."""

    data: Path
    models: Path
    tasks: dict[str, list[Task]]
    solved: dict[str, dict[str, set[str]]]

    def recipe(self, folder: Path) -> Path:
        """Write a recipe for `codeact collect`; returns its folder, for --config-dir."""
        options = sorted(set(FAMILIES.values()))
        common = [f"task=[{','.join(options)}]", "missing=skip", f"limit={TASKS}", "tracker=none"]
        words = {
            model: ["model=recorded", f"model.name={model}", f"model.source={self.models / model}"]
            for model in SHARES
        }
        recipe = {
            "common": [*common, "compute.concurrency=8"],
            "weak": {"weak": words["weak"]},
            "strong": words["strong"],
            "assumed": {"prompt": 1, "completion": 1},
            "tolerated_failures": 0.0,
            "statistics": {"tokenizer": "cl100k", "limit": 4096},
        }
        (folder / "recipe").mkdir(parents=True)
        (folder / "recipe" / "all_sets.yaml").write_text(json.dumps(recipe))
        return folder

    def unsolved(self, name: str, *models: str) -> set[str]:
        """The ids of a data set that none of the models solves."""
        ids = {task.id for task in self.tasks[name]}
        return ids.difference(*(self.solved[model][name] for model in models))


def all_sets(root: Path) -> AllSets:
    """Prepare every data set below `root`, and record both models' answers."""
    data, models = root / "data", root / "models"
    for name, words in RAW.items():
        folder = "wiki_table_question" if name == "wiki_table_questions" else name
        raw = f"raw={SHARED / 'raw' / folder}"
        assert main(["prepare", f"task={name}", raw, f"out={data}", *words]) == 0
    (data / "math.jsonl").write_bytes((SHARED / "mint_tasks" / "math.jsonl").read_bytes())
    tasks: dict[str, list[Task]] = {}
    solved: dict[str, dict[str, set[str]]] = {model: {} for model in SHARES}
    for name, family_name in FAMILIES.items():
        family = get(family_name)
        tasks[name] = load_tasks(family, data / f"{name}.jsonl")[:TASKS]
        for model, share in SHARES.items():
            solved[model][name] = record_answers(models / model, name, family, tasks[name], share)
    return AllSets(data, models, tasks, solved)
