"""The published benchmark comes out of the published recordings, to the published digits."""

import json
from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from codeact.results.comparison.curves import curves_of
from codeact.results.comparison.single import rate_of
from codeact.results.comparison.sources import open_sources

DATA = Path(__file__).parents[3] / "shared" / "data"
TREE = DATA / "transcripts"
PUBLISHED = DATA / "expected" / "leaderboard_benchmark.json"
FEEDBACK = "gpt-4-0613/no_GT-textual"

pytestmark = pytest.mark.skipif(not TREE.exists(), reason="needs ../shared/data/transcripts")


def of_model(name: str) -> str:
    """How the published table names a model of the recordings."""
    return name.removesuffix("-hf")


def test_every_success_rate_slope_and_delta() -> None:
    with ExitStack() as stack:
        runs = open_sources([str(TREE)], stack)
        rated = [(run, rate_of(run, np.flatnonzero(run.tasks.samples), None)) for run in runs]
        curves = {of_model(one.name): one for one in curves_of(runs) if one.kind == "by limit"}
    published = {row["model"]: row for row in json.loads(PUBLISHED.read_bytes())}
    rates: dict[str, dict[str, float]] = defaultdict(dict)
    for run, rate in rated:
        assert rate is not None
        limit = run.limit_name[len("max")]
        kind = {"none": limit, FEEDBACK: "feedback"}.get(run.feedback)
        if kind is not None:
            rates[of_model(run.model)][kind] = 100 * rate.value
    cells = 0
    for model, found in rates.items():
        if (row := published.get(model)) is None:
            continue
        for limit in "12345":
            if row[limit] != "-":
                assert round(found[limit], 2) == row[limit], (model, limit)
                cells += 1
        if row["Delta Feedback"] != "-":
            with_feedback = found["feedback"]
            assert round(with_feedback, 1) == row["Success Rate (5 turn) w/ GPT-4 Feedback"], model
            assert round(with_feedback - found["5"], 1) == row["Delta Feedback"], model
            cells += 2
        if row["Slope"] != "-":
            curve = curves[model]
            assert curve.slope is not None
            assert curve.r_squared is not None
            assert round(100 * curve.slope, 2) == row["Slope"], model
            assert round(curve.r_squared, 2) == row["rsquared"], model
            cells += 2
    assert cells == 62
