"""The line that says what was found."""

from codeact.results.comparison.model import IntervalEstimate, PairReport


def in_words(pair: PairReport) -> str:
    """Return the conclusion of a pair in one line."""
    holm = f", {p_in_words(pair.p_holm)} by Holm" if pair.p_holm != pair.p else ""
    what = {
        "better": f"{pair.b} is better than {pair.a}",
        "worse": f"{pair.b} is worse than {pair.a}",
        "equal within the margin": (
            f"{pair.b} and {pair.a} are equal within the margin of {_points(pair.margin or 0)}"
        ),
        "undecided": f"undecided between {pair.b} and {pair.a}",
    }[pair.conclusion]
    text = f"{what}: {points(pair.difference)} in success ({p_in_words(pair.p)}{holm})"
    if pair.bounds is None:
        return text
    low, high = _points(pair.bounds.low, signed=True), _points(pair.bounds.high, signed=True)
    if pair.bounds.changes:
        return (
            f"{text}; but missing outcomes could make it {low} to {high}, which would change that"
        )
    return f"{text}; with missing outcomes either way {low} to {high}"


def p_in_words(p: float) -> str:
    """Return ``p = 0.012``, or ``p < 0.001``."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def points(found: IntervalEstimate | None) -> str:
    """Return a difference in percentage points, with its interval."""
    if found is None:
        return "unknown"
    low, high = (
        "?" if one is None else f"{100 * one:+.1f}".replace("-", "−")
        for one in (found.low, found.high)
    )
    return f"{_points(found.value, signed=True)} [{low}, {high}]"


def percent(found: IntervalEstimate | None) -> str:
    """Return a rate in percent, with its interval."""
    if found is None:
        return "-"
    low, high = ("?" if one is None else f"{100 * one:.1f}" for one in (found.low, found.high))
    return f"{found.value:.1%} [{low}, {high}]"


def _points(value: float, *, signed: bool = False) -> str:
    text = f"{100 * value:+.1f}" if signed else f"{100 * value:.1f}"
    return text.replace("-", "−") + " points"


def number(value: float, digits: int, *, signed: bool = False) -> str:
    """Return a number with thousands marked."""
    sign = "+" if signed else ""
    return format(value, f"{sign},.{digits}f").replace("-", "−")
