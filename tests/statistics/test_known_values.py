"""Statistics against textbooks, published formulas and scipy."""

import math

import numpy as np
import pytest
from scipy.stats import binomtest, linregress, permutation_test

from codeact.statistics.curve import curve
from codeact.statistics.equivalence import conclude, equivalence
from codeact.statistics.intervals import mean_interval, rate_interval
from codeact.statistics.paired import paired_difference
from codeact.statistics.pass_at_k import majority, over_tasks, pass_at_k, pass_hat_k
from codeact.statistics.power import Design, detectable_difference, power, tasks_needed
from codeact.statistics.ratio import difference_of_ratios, ratio_of_means
from codeact.statistics.significance import holm, mcnemar, sign_flips
from codeact.statistics.wilson import wilson


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    # Newcombe, Statistics in Medicine 17 (1998), table I: score method without correction.
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_as_in_the_textbook(successes: int, trials: int, low: float, high: float) -> None:
    found = wilson(successes, trials)
    assert found is not None
    assert found[:2] == pytest.approx((low, high), abs=5e-5)


def test_wilson_as_in_scipy() -> None:
    for trials in (1, 2, 7, 20, 500):
        for successes in range(0, trials + 1, max(1, trials // 7)):
            theirs = binomtest(successes, trials).proportion_ci(method="wilson")
            ours = wilson(successes, trials)
            assert ours is not None
            assert ours[:2] == pytest.approx((theirs.low, theirs.high), abs=1e-12)
    assert wilson(0, 0) is None


def test_mcnemar_as_in_the_textbook() -> None:
    """The example of R's exact2x2: 9 and 2 discordant pairs; and a sum by hand."""
    assert mcnemar(9, 2).p == pytest.approx(0.06543, abs=5e-6)
    assert mcnemar(12, 2).p == pytest.approx(2 * (1 + 14 + 91) / 2**14)
    assert mcnemar(12, 2).odds == 6
    for won, lost in [(0, 1), (5, 5), (3, 40), (700, 610), (20_000, 20_300)]:
        assert mcnemar(won, lost).p == pytest.approx(binomtest(won, won + lost).pvalue)
    assert mcnemar(0, 0) == (1.0, "no pair differs", None)


def test_mcnemar_is_the_sign_flip_test_of_single_pairs() -> None:
    assert sign_flips([1] * 9 + [-1] * 2 + [0] * 30).p == pytest.approx(mcnemar(9, 2).p)
    many = sign_flips([1] * 60 + [-1] * 40)
    assert many.p == pytest.approx(mcnemar(60, 40).p, abs=0.005)
    assert "20,000 draws" in many.method


def test_sign_flips_as_in_scipy() -> None:
    sums = np.array([0.75, -0.25, 1.5, 0.5, -0.75, 0.25, 1.0, 0.5])
    theirs = permutation_test((sums,), np.sum, permutation_type="samples", n_resamples=np.inf)
    assert sign_flips(sums).p == pytest.approx(theirs.pvalue)


def test_drawn_flips_are_never_sure() -> None:
    """With one added to both counts, p of 20,000 draws is at least 1/20,001."""
    assert sign_flips([1.0] * 1000).p == pytest.approx(1 / 20_001)


def test_holm_as_in_the_textbook() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_pass_at_k_as_published() -> None:
    """The product form that Chen et al. print, and its limits."""
    for n, c, k in [(5, 2, 1), (5, 2, 2), (200, 13, 10), (200, 0, 100), (10, 10, 1), (10, 8, 5)]:
        product = 1.0
        if n - c >= k:
            product = 1.0 - float(np.prod(1.0 - k / np.arange(n - c + 1, n + 1)))
        assert pass_at_k(n, c, k) == pytest.approx(product)
    assert pass_at_k(5, 2, 1) == pytest.approx(0.4)
    assert pass_hat_k(5, 2, 2) == pytest.approx(0.1)
    assert pass_hat_k(4, 4, 4) == pass_at_k(4, 1, 4) == 1
    with pytest.raises(ValueError, match="k=3"):
        pass_at_k(2, 1, 3)


def test_pass_at_k_is_over_the_tasks_with_so_many_samples() -> None:
    found = over_tasks([4, 4, 2], [1, 4, 0], pass_at_k)
    assert found[1].value == pytest.approx((0.25 + 1 + 0) / 3)
    assert (found[4].value, found[4].tasks) == (1.0, 2)
    assert over_tasks([1, 1], [0, 1], pass_at_k) == {}


def test_majority_counts_votes_and_shares_ties() -> None:
    assert majority([(1, False), (2, True), (2, True)]) == 1
    assert majority([(1, False), (2, True)]) == 0.5
    assert majority([(1, True), (2, False), (2, False)]) == 0
    assert majority([(None, False), (None, False), (3, True)]) == 1
    assert majority([(None, False)]) == 0


def test_a_mean_of_single_values_has_the_usual_error() -> None:
    """And values repeated within a cluster count once, as Miller's cluster formula has it."""
    values = np.random.default_rng(0).normal(size=60)
    alone, repeated = (
        mean_interval(values),
        mean_interval(np.repeat(values, 4), list(range(60)) * 4),
    )
    together = mean_interval(np.repeat(values, 4), np.repeat(np.arange(60), 4).tolist())
    assert alone is not None
    assert repeated is not None
    assert together is not None
    error = values.std(ddof=1) / math.sqrt(60)
    assert alone.half_width == pytest.approx(2.000995 * error, rel=1e-5)
    assert together[:2] == pytest.approx(alone[:2])
    assert repeated.half_width != pytest.approx(alone.half_width)


def test_which_interval_is_taken() -> None:
    """Wilson's for single samples, t of clusters, their bootstrap where they are few."""
    many, few = np.arange(40) % 5, np.arange(20) % 5
    kinds = [
        rate_interval(np.arange(40) % 2, np.ones(40)),
        rate_interval(many, np.full(40, 4.0)),
        rate_interval(few, np.full(20, 4.0)),
        rate_interval([1, 3, 2], [4, 4, 4]),
        rate_interval([4, 4, 4], [4, 4, 4]),
    ]
    assert [one and one.kind for one in kinds] == ["wilson", "t", "bootstrap", "t", "wilson"]
    assert rate_interval([0], [0]) is None


def test_pairing_makes_the_interval_narrower_by_what_the_runs_share() -> None:
    """Of two equal runs with one flip all is shared; of independent ones nothing."""
    rng = np.random.default_rng(1)
    a, other = rng.integers(0, 2, 4000), rng.integers(0, 2, 4000)
    nearly = a.copy()
    nearly[:40] ^= 1
    shared, independent = paired_difference(a, nearly), paired_difference(a, other)
    assert shared is not None
    assert independent is not None
    assert shared.narrower is not None
    assert shared.narrower > 0.8
    assert independent.narrower == pytest.approx(0, abs=0.03)
    assert shared.error == pytest.approx((nearly - a).std(ddof=1) / math.sqrt(4000))


def test_no_pair_that_differs_is_no_certainty() -> None:
    """As if one more pair had been won and one lost; of clusters Wilson's limit of none."""
    a = [1, 0, 1] * 10
    found, clustered = paired_difference(a, a), paired_difference(a, a, list(range(10)) * 3)
    assert found is not None
    assert clustered is not None
    assert found.value == found.error == 0
    assert found.interval.high == -found.interval.low
    assert found.interval.high == pytest.approx(1.959964 * math.sqrt(2 / 32 / 32))
    assert clustered.interval.high == pytest.approx(0.2775, abs=1e-4)
    assert conclude(found, 1.0, margin=0.05) == "undecided"
    assert conclude(found, 1.0, margin=0.12) == "equal within the margin"


def test_few_flips_are_as_unsure_as_mcnemar_says() -> None:
    """Four won and none lost of 66: the mean's own error would exclude zero, and p is 0.125."""
    found = paired_difference([0] * 66, [1] * 4 + [0] * 62)
    assert found is not None
    assert found.value - 1.997 * found.error > 0
    assert found.interval.low < 0 < found.interval.high


def test_equivalence_is_two_one_sided_tests() -> None:
    rng = np.random.default_rng(2)
    a = rng.integers(0, 2, 10_000)
    b = a.copy()
    b[rng.choice(10_000, 400, replace=False)] ^= 1
    found = paired_difference(a, b)
    assert found is not None
    assert equivalence(found, 0.02) < 0.001
    assert equivalence(found, abs(found.value)) == pytest.approx(0.5, abs=0.01)
    assert equivalence(found, 0.001) > 0.3
    assert conclude(found, mcnemar(200, 200).p, None) == "undecided", "never equal without a margin"


def test_a_ratio_by_fieller() -> None:
    """Of a ratio that is the same in every cluster nothing is unsure; without successes all is."""
    same = ratio_of_means([2.0, 4.0, 6.0] * 5, [1.0, 2.0, 3.0] * 5)
    assert same is not None
    assert same.value == 2
    assert same.interval[:2] == pytest.approx((2, 2))
    unbounded = ratio_of_means([5.0] * 20, [1.0] + [0.0] * 19)
    assert unbounded is not None
    assert unbounded.value == 100
    assert unbounded.interval.high == math.inf
    assert 0 < unbounded.interval.low < 100
    none = ratio_of_means([5.0, 5.0], [0.0, 0.0])
    assert none is not None
    assert none.value == none.interval.high == math.inf


def test_a_difference_of_ratios_by_both_ways_agrees() -> None:
    rng = np.random.default_rng(3)
    won = rng.integers(0, 2, (2, 2001)).astype(float)
    amounts = rng.gamma(2.0, 500.0, (2, 2001))
    many = difference_of_ratios((amounts[0], amounts[1]), (won[0], won[1]))
    fewer = difference_of_ratios((amounts[0, :-1], amounts[1, :-1]), (won[0, :-1], won[1, :-1]))
    assert many is not None
    assert fewer is not None
    assert (many[1].kind, fewer[1].kind) == ("t", "bootstrap")
    assert many[1].half_width == pytest.approx(fewer[1].half_width, rel=0.05)


def test_tasks_needed_by_the_published_formula() -> None:
    """Connor's sample size for McNemar's test (Biometrics 43, 1987)."""
    design = Design(0, samples=2, discordance=0.2, chance=0.0)
    wanted = (1.959964 * 0.2**0.5 + 0.841621 * (0.2 - 0.05**2) ** 0.5) ** 2 / 0.05**2
    assert tasks_needed(0.05, design) == math.ceil(wanted)
    assert detectable_difference(design._replace(tasks=math.ceil(wanted))) == pytest.approx(
        0.05, abs=1e-4
    )


def test_more_samples_help_against_chance_alone() -> None:
    certain, lucky = Design(500, 8, 0.2, chance=0.0), Design(500, 8, 0.2, chance=1.0)
    one = Design(500, 1, 0.2)
    seen = [detectable_difference(one_design) for one_design in (certain, lucky, one)]
    assert seen[0] is not None
    assert seen[1] is not None
    assert seen[2] is not None
    assert seen[1] < 0.5 * seen[0]
    assert seen[0] == pytest.approx(seen[2], rel=0.05)
    assert detectable_difference(Design(3)) is None
    assert power(one, 0.3) == 1, "beyond what the discordance admits"


def test_a_curve_is_least_squares() -> None:
    rates = {1: 0.0273, 2: 0.1689, 3: 0.2406, 4: 0.3174, 5: 0.3618}
    theirs = linregress(list(rates), list(rates.values()))
    ours = curve(rates)
    assert ours.slope == pytest.approx(theirs.slope)
    assert ours.r_squared == pytest.approx(theirs.rvalue**2)
    assert curve({5: 0.3}) == ({5: 0.3}, None, None)
    assert curve({1: 0.2, 2: 0.2}).r_squared is None


def test_the_ends_of_every_ratio_are_plain_numbers() -> None:
    """Reports are written as JSON, which knows no others."""
    for won in ([1.0] * 8, [0.0] * 7 + [1.0], [0.0] * 8):
        found = ratio_of_means([float(n) for n in range(8)], won)
        assert found is not None
        assert {type(found.value), type(found.interval.low), type(found.interval.high)} == {float}
