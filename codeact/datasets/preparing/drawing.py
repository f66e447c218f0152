"""Seeded choices as the published collection made them: NumPy's legacy generator, seed 42."""

from collections.abc import Sequence
from typing import TypeVar

Item = TypeVar("Item")


def drawn(items: Sequence[Item], count: int, seed: int) -> list[Item]:
    """Draw `count` of the items without replacement; all of them is a shuffle.

    ``RandomState`` is frozen by NumPy's policy, so the draw is the same with every version.
    """
    import numpy as np

    order = np.random.RandomState(seed).permutation(len(items))
    return [items[int(position)] for position in order[:count]]
