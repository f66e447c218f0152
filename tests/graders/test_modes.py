"""Each kind of verdict is one module, which has it in both modes."""

import pytest

from codeact.datasets.families import FAMILIES, get
from codeact.graders.base import Grader
from codeact.graders.code import CodeGrader


def module_of(grader: Grader) -> str:
    made = isinstance(grader, CodeGrader)
    return type(grader).__module__ if made else str(getattr(grader, "__module__", ""))


@pytest.mark.parametrize("name", FAMILIES.ours)
def test_both_modes_of_a_family_are_in_one_module(name: str) -> None:
    family = get(name)
    module = module_of(family.grader("strict"))
    assert module == module_of(family.grader("mint"))
    assert module.startswith("codeact.graders.")


@pytest.mark.parametrize("name", sorted({*FAMILIES.ours} - {"math_train"}))
def test_a_mode_goes_by_its_own_name_there(name: str) -> None:
    family = get(name)
    if family.solved_by_tools or name == "toolbench":
        # No answer is judged there, or there are no published rules: one grader for both modes.
        assert family.grader("mint") is family.grader("strict")
        return
    assert getattr(family.grader("mint"), "__name__", "") == "mint"
    strict = family.grader("strict")
    assert isinstance(strict, CodeGrader) or getattr(strict, "__name__", "") == "strict"
