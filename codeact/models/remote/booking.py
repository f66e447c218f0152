"""What attempts took that brought no usable answer."""

from collections.abc import Callable

from codeact.episode.effects import Usage
from codeact.models.base import Prices, RequestMeter
from codeact.models.remote.encoding import InvalidResponse, decode
from codeact.models.remote.exchange import Response

UsageReader = Callable[[object], Usage | None]
"""Reads the field ``usage`` of an API's answers."""

_PERHAPS_CHARGED = (200, 408, 502, 504, 524)
"""Statuses behind which there may be an answer that nobody got: garbage, and time-outs of proxies.
"""


def book_failure(
    meter: RequestMeter,
    prices: Prices | None,
    response: Response | None,
    read_usage: UsageReader,
    *,
    perhaps_charged: bool,
) -> None:
    """Book an attempt whose answer is not used; `response` is None if none came in whole.

    Whatever its status, it took the usage that it reports. `perhaps_charged` says that the server
    may have worked on it.
    """
    usage = None if response is None else _reported(response.body, read_usage)
    if usage is not None and usage.total:
        meter.discard(usage, prices)
    elif perhaps_charged and (response is None or response.status in _PERHAPS_CHARGED):
        meter.miss()


def _reported(body: bytes, read_usage: UsageReader) -> Usage | None:
    """Return the usage in an answer that may be anything else; None if there is none."""
    try:
        return read_usage(decode(body).get("usage"))
    except InvalidResponse:
        return None
