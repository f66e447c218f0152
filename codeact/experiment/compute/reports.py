"""How the driver learns what its workers' requests take: each line once, whatever gets lost."""

from typing import NamedTuple

from codeact.recordings.ledger import RequestLine


class RequestReport(NamedTuple):
    """Lines that a worker booked for one run, in order; the first of them has the number `first`.

    Numbers count from 0 over the worker's life.
    """

    first: int
    lines: list[RequestLine]

    def after(self, heard: int) -> list[RequestLine]:
        """Return the lines that are new to who has heard that many."""
        return self.lines[max(0, heard - self.first) :]


class Outbox:
    """A worker's lines of one run, kept until the driver says that it has them."""

    def __init__(self) -> None:
        self._first = 0
        self._lines: list[RequestLine] = []

    def add(self, line: RequestLine) -> None:
        """Keep one more line."""
        self._lines.append(line)

    def report(self, heard: int) -> RequestReport:
        """Forget what the driver has heard, the first `heard` lines, and return the others."""
        if heard > self._first:
            del self._lines[: heard - self._first]
            self._first = heard
        return RequestReport(self._first, list(self._lines))
