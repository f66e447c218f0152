"""Swapping A and B mirrors the result: the same p, the negated difference and interval."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codeact.statistics.equivalence import conclude, equivalence
from codeact.statistics.paired import paired_difference, paired_means
from codeact.statistics.significance import mcnemar, sign_flips

PAIR = st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(0, 12))
"""Successes of four samples in both runs, and the task's cluster."""
OPPOSITE = {"better": "worse", "worse": "better"}


@settings(max_examples=40, deadline=None)
@given(st.lists(PAIR, min_size=1, max_size=45), st.booleans())
def test_swapped_runs_mirror(pairs: list[tuple[int, int, int]], clustered: bool) -> None:
    a, b = [one[0] / 4 for one in pairs], [one[1] / 4 for one in pairs]
    clusters = [one[2] for one in pairs] if clustered else None
    there, back = paired_difference(a, b, clusters), paired_difference(b, a, clusters)
    assert there is not None
    assert back is not None
    assert there.value == pytest.approx(-back.value, abs=1e-12)
    assert there.interval[:2] == pytest.approx(
        (-back.interval.high, -back.interval.low), abs=1e-9, nan_ok=True
    )
    assert there.narrower == pytest.approx(back.narrower, nan_ok=True)
    sums = [y - x for x, y in zip(a, b, strict=True)]
    p = sign_flips(sums).p
    assert p == sign_flips([-one for one in sums]).p
    assert equivalence(there, 0.1) == pytest.approx(equivalence(back, 0.1), nan_ok=True)
    for margin in (None, 0.1):
        said = conclude(there, p, margin)
        assert conclude(back, p, margin) == OPPOSITE.get(said, said)


@given(st.integers(0, 60), st.integers(0, 60))
def test_swapped_flips_have_one_p(won: int, lost: int) -> None:
    assert mcnemar(won, lost).p == mcnemar(lost, won).p


def test_amounts_mirror() -> None:
    a, b = [3.0, 9.0, 100.0, 4.0, 2.0, 8.0, 7.0, 1.0, 9.0, 3.0], [float(n * n) for n in range(10)]
    there, back = paired_means(a, b), paired_means(b, a)
    assert there is not None
    assert back is not None
    assert there.interval.kind == "bootstrap"
    assert there.interval[:2] == pytest.approx((-back.interval.high, -back.interval.low))
