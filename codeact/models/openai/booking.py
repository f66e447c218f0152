"""What attempts took that brought no usable answer."""

from codeact.models.base import Prices, RequestMeter
from codeact.models.openai import wire
from codeact.models.openai.exchange import Response

_PERHAPS_CHARGED = (200, 408, 502, 504, 524)
"""Statuses behind which there may be an answer that nobody got: garbage, and time-outs of proxies.
"""


def book_failure(
    meter: RequestMeter, prices: Prices | None, response: Response | None, *, perhaps_charged: bool
) -> None:
    """Book an attempt whose answer is not used; `response` is None if none came in whole.

    Whatever its status, it took the usage that it reports. `perhaps_charged` says that the server
    may have worked on it.
    """
    usage = None if response is None else wire.reported_usage(response.body)
    if usage is not None and usage.total:
        meter.discard(usage, prices)
    elif perhaps_charged and (response is None or response.status in _PERHAPS_CHARGED):
        meter.miss()
