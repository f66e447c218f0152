"""What a comparison says, as data: ``report.json`` is these structures, and has their schema."""

import math
from typing import Any, Literal

import msgspec

from codeact.statistics.equivalence import Conclusion
from codeact.statistics.wilson import Interval

VERSION = 1
"""Of ``report.json``."""


class IntervalEstimate(msgspec.Struct, frozen=True, kw_only=True):
    """A number with its 95 % interval; an end that the data do not bound is null.

    `kind` is how the interval was made: ``wilson``, ``t`` (cluster-robust), ``bootstrap`` (of
    clusters, BCa) or ``fieller``; it rests on so many `clusters`.
    """

    value: float
    low: float | None
    high: float | None
    kind: str
    clusters: int


def estimate(value: float, interval: Interval | None) -> IntervalEstimate | None:
    """Return a value with its interval; None where either is missing."""
    if interval is None or not math.isfinite(value):
        return None
    low, high = (one if math.isfinite(one) else None for one in interval[:2])
    return IntervalEstimate(
        value=value, low=low, high=high, kind=interval.kind, clusters=interval.clusters
    )


class CurveReport(msgspec.Struct, frozen=True, kw_only=True):
    """Success by number of turns k, with the slope (rate per turn) and r² of its line.

    ``within a run``: the share of tasks solved in at most k turns. ``by limit``: the rate of the
    run whose limit is k turns, as the published benchmark has it.
    """

    name: str
    kind: Literal["within a run", "by limit"]
    rates: dict[int, float]
    slope: float | None
    r_squared: float | None


class Attrition(msgspec.Struct, frozen=True, kw_only=True):
    """Episodes whose outcome does not count, by cause; `unplayed` ones have no record."""

    causes: dict[str, int]
    edited: int
    unplayed: int

    @property
    def missing(self) -> int:
        return sum(self.causes.values()) + self.edited + self.unplayed


class RunReport(msgspec.Struct, frozen=True, kw_only=True):
    """One run by itself. `success` is the mean over tasks of the share of their samples."""

    name: str
    place: str
    model: str
    feedback: str
    turn_setting: str
    grading: str
    tasks: int
    samples: int
    episodes: int
    counted: int
    success: IntervalEstimate | None
    pass_at_k: dict[int, IntervalEstimate]
    pass_hat_k: dict[int, IntervalEstimate]
    means: dict[str, IntervalEstimate]
    per_success: dict[str, IntervalEstimate]
    by_task_set: dict[str, IntervalEstimate]
    attrition: Attrition


class Flip(msgspec.Struct, frozen=True, kw_only=True):
    """A task on which the runs differ: `sure` is the difference of its shares of successes.

    `a` and `b` are the addresses of both runs' records of it, sample by sample: ``FILE:LINE``.
    """

    task: str
    task_set: str
    digest: str
    successes_a: int
    samples_a: int
    successes_b: int
    samples_b: int
    a: list[str]
    b: list[str]

    @property
    def sure(self) -> float:
        return self.successes_b / self.samples_b - self.successes_a / self.samples_a


class MetricReport(msgspec.Struct, frozen=True, kw_only=True):
    """A paired difference of means (b less a), or of ratios where it is ``per success``."""

    name: str
    a: float
    b: float
    difference: IntervalEstimate | None


class GroupReport(msgspec.Struct, frozen=True, kw_only=True):
    """The pairs of one task set, of one value of a metadata field, or of one number of turns."""

    field: str
    value: str
    pairs: int
    a: float
    b: float
    difference: IntervalEstimate | None
    p: float
    p_holm: float
    """Adjusted for all groups of this field."""


class SettingDifference(msgspec.Struct, frozen=True, kw_only=True):
    """A key in which the runs' configurations differ. `matters` if it changes what episodes are."""

    key: str
    a: Any
    b: Any
    matters: bool


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """The difference if all missing episodes had gone one way, and if they had gone the other."""

    low: float
    high: float
    changes: bool
    """Whether the conclusion would be another one somewhere in between."""


class PairReport(msgspec.Struct, frozen=True, kw_only=True):
    """Run `b` against the baseline `a`, over the task digests that both graded."""

    a: str
    b: str
    pairs: int
    clusters: int
    rate_a: float
    rate_b: float
    difference: IntervalEstimate | None
    error: float
    unpaired_error: float
    narrower: float | None
    """By what share the paired standard error is smaller than the unpaired one."""
    p: float
    p_holm: float
    test: str
    odds: float | None
    margin: float | None
    p_equivalence: float | None
    conclusion: Conclusion
    in_words: str
    bounds: Bounds | None
    detectable: float | None
    """The difference that so many pairs with this spread show with a power of 80 %."""
    tasks_for_half: int | None
    """How many tasks show half the difference that was seen with that power."""
    unpaired_a: list[str]
    unpaired_b: list[str]
    metrics: list[MetricReport]
    groups: list[GroupReport]
    flips: list[Flip]
    settings: list[SettingDifference]
    notes: list[str]


class ComparisonReport(msgspec.Struct, frozen=True, kw_only=True):
    """All of a comparison: every run, and every run but the first against the first."""

    version: int = VERSION
    codeact: str
    level: float
    alpha: float
    cluster: str | None
    runs: list[RunReport]
    pairs: list[PairReport]
    curves: list[CurveReport]
    notes: list[str]


def schema() -> dict[str, Any]:
    """Return the JSON schema of ``report.json``."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **msgspec.json.schema(ComparisonReport),
    }
