"""The plots of a comparison: rates, paired differences, success against turns, and cost."""

import io
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codeact.files import replacing
from codeact.results.comparison.model import ComparisonReport, CurveReport, IntervalEstimate
from codeact.statistics.curve import Curve

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SETTINGS: Any = {
    "text.parse_math": False,  # a run's name may hold a dollar sign
    "svg.hashsalt": "codeact",  # so that equal plots are equal files
    "svg.fonttype": "none",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
}
_LONGEST_NAME = 48
Row = tuple[str, IntervalEstimate]


def draw_plots(report: ComparisonReport, folder: Path) -> dict[str, bytes]:
    """Write every plot that has something to show as PNG and SVG; returns the SVGs by name."""
    drawings = {"rates": _rates, "differences": _differences, "turns": _turns, "cost": _cost}
    return save_plots(
        {name: partial(draw, report=report) for name, draw in drawings.items()}, folder
    )


def save_plots(drawings: "Mapping[str, Callable[[Axes], bool]]", folder: Path) -> dict[str, bytes]:
    """Write what drew something as PNG and SVG; returns the SVGs by name."""
    # Without pyplot, which would look for a screen.
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    found = {}
    with rc_context(_SETTINGS):
        for name, draw in drawings.items():
            figure = Figure(layout="constrained")
            if not draw(figure.add_subplot()):
                continue
            found[name] = _saved(figure, "svg")
            for suffix, content in (("svg", found[name]), ("png", _saved(figure, "png"))):
                with replacing(folder / f"{name}.{suffix}", private=False) as file:
                    file.write(content)
    return found


def _saved(figure: "Figure", kind: str) -> bytes:
    file = io.BytesIO()
    metadata = {"Date": None} if kind == "svg" else {"Software": None}
    figure.savefig(file, format=kind, dpi=150, metadata=metadata)
    return file.getvalue()


def _short(name: str) -> str:
    """Return the end of a name, which is what tells runs apart."""
    return name if len(name) <= _LONGEST_NAME else f"… {name[-_LONGEST_NAME + 2 :]}"


def _rates(axes: "Axes", report: ComparisonReport) -> bool:
    rows = [(_short(run.name), run.success) for run in report.runs]
    drawn = draw_estimates(axes, [(name, one) for name, one in rows if one is not None])
    axes.set_xlabel("success in %, with 95 % interval")
    return drawn


def _differences(axes: "Axes", report: ComparisonReport) -> bool:
    rows: list[tuple[str, IntervalEstimate | None]]
    if len(report.pairs) > 1:
        rows = [(_short(pair.b), pair.difference) for pair in report.pairs]
    else:
        pair = report.pairs[0]
        sets = [one for one in pair.groups if one.field == "task set"]
        rows = [("all", pair.difference)]
        rows += [(f"{one.value} ({one.pairs})", one.difference) for one in sets if len(sets) > 1]
    drawn = draw_estimates(axes, [(name, one) for name, one in rows if one is not None])
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_xlabel(f"difference to {_short(report.runs[0].name)} in points, with 95 % interval")
    return drawn


def draw_estimates(axes: "Axes", rows: Sequence[Row]) -> bool:
    """Draw a point and an interval for each row, the first one at the top."""
    if not rows:
        return False
    figure = axes.get_figure()
    assert figure is not None
    figure.set_size_inches(7, 1 + 0.3 * len(rows))  # type: ignore[union-attr]
    for place, (_, found) in enumerate(rows):
        low, high = _ends(found)
        axes.plot([low, high], [place, place], color="tab:blue", solid_capstyle="butt")
        axes.plot([100 * found.value], [place], "o", color="tab:blue")
    axes.set_yticks(range(len(rows)), [name for name, _ in rows])
    axes.invert_yaxis()
    return True


def _ends(found: IntervalEstimate) -> tuple[float, float]:
    """Return an interval in percent; an open end is drawn at the value."""
    low, high = (found.value if one is None else one for one in (found.low, found.high))
    return 100 * low, 100 * high


def _turns(axes: "Axes", report: ComparisonReport) -> bool:
    curves = [curve for curve in report.curves if len(curve.rates) > 1]
    limits = [curve for curve in curves if curve.kind == "by limit"]
    axes.set_xlabel("limit of turns" if limits else "turns taken, at most")
    return draw_curves(axes, [(_short(curve.name), curve) for curve in limits or curves])


def draw_curves(axes: "Axes", curves: Sequence[tuple[str, CurveReport | Curve]]) -> bool:
    """Draw success against numbers of turns, each curve with its name and slope."""
    for name, curve in curves:
        rates = [100 * rate for rate in curve.rates.values()]
        label = f"{name}: {100 * (curve.slope or 0):+.2f} a turn"
        axes.plot(list(curve.rates), rates, "o-", label=label)
    if not curves:
        return False
    axes.set_ylabel("success in %")
    axes.set_xticks(sorted({k for _, curve in curves for k in curve.rates}))
    axes.set_ylim(bottom=0)
    axes.legend(fontsize=7)
    return True


def _cost(axes: "Axes", report: ComparisonReport) -> bool:
    """Draw each run by what a task cost and how often it was solved, with both intervals."""
    unit = "USD" if all("USD" in run.means for run in report.runs) else "tokens"
    for run in report.runs:
        cost, rate = run.means.get(unit), run.success
        if cost is None or rate is None:
            return False
        low, high = _ends(rate)
        left, right = (cost.value if end is None else end for end in (cost.low, cost.high))
        value = 100 * rate.value
        (point,) = axes.plot([cost.value], [value], "o", label=_short(run.name))
        axes.plot([left, right], [value, value], color=point.get_color())
        axes.plot([cost.value, cost.value], [low, high], color=point.get_color())
    axes.set_xlabel(f"{unit} a task, with 95 % interval")
    axes.set_ylabel("success in %, with 95 % interval")
    axes.legend(fontsize=7)
    return True
