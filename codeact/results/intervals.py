"""The interval of a rate."""


def wilson(successes: int, counted: int) -> tuple[float, float]:
    """Return the 95 % Wilson score interval of a rate over one or more independent episodes."""
    from scipy.stats import binomtest

    interval = binomtest(successes, counted).proportion_ci(method="wilson")
    return float(interval.low), float(interval.high)
