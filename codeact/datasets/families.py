"""Finds a family by name: ours, or a plug-in's entry point in the group ``codeact.families``."""

from codeact.datasets.family import Family
from codeact.plugins import Registry

DATA_SETS = (
    "alfworld",
    "apps",
    "gsm8k",
    "hotpotqa",
    "humaneval",
    "math",
    "mbpp",
    "mmlu",
    "strategyqa",
    "theoremqa",
    "wiki_table_questions",
)
"""The folders here, each with a ``task`` and a ``prepare``."""
FAMILIES = Registry(
    group="codeact.families",
    sort="task family",
    wanted="a codeact.datasets.Family",
    part=lambda found: found if isinstance(found, Family) else None,
    ours={
        **{name: f"codeact.datasets.{name}.task:FAMILY" for name in DATA_SETS},
        "math_train": "codeact.datasets.math.task:TRAINING",
        "toolbench": "codeact.datasets.toolbench.task:FAMILY",
        "typed": "codeact.datasets.typed:FAMILY",
    },
)


def names() -> list[str]:
    """Name every family, those of plug-ins included."""
    return FAMILIES.names()


def get(name: str) -> Family:
    """Find a family; raises `ConfigError` with the nearest name if there is none."""
    return FAMILIES.get(name)


def task_type_of(name: str) -> str:
    """Return the task type of a family; raises `ConfigError` if there is none of that name."""
    return get(name).task_type


def split_of(name: str) -> str:
    """Return the split of a family's tasks; raises `ConfigError` if there is none of that name."""
    return get(name).split
