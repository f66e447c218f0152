"""The layout of the live display: rows of labelled parts that fit a terminal of any size.

A part is never cut where the terminal has 40 columns or more: what does not fit goes to the next
line. Where there are too few lines, the rows that matter least are left out.
"""

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import NamedTuple
from urllib.parse import urlsplit

from rich.cells import cell_len
from rich.text import Text

from codeact.models.replicas import EndpointStats
from codeact.results.live.numbers import Snapshot
from codeact.sandboxes.sandbox import SandboxStats
from codeact.statistics.wilson import wilson

_COMMAND = "codeact run"
_LABEL = 10
_BAR = 40
_RUNS = 8
_SERVERS = 4
"""Lines for the runs of a sweep, and for the servers of a model, at most."""
_GOOD, _WARNING, _BAD, _QUIET = "green", "yellow", "red", "dim"


class Row(NamedTuple):
    """A labelled row; those of the greatest `rank` are the first to be left out."""

    label: str
    parts: list[Text]
    rank: int = 0


def frame(title: str, shown: Snapshot, width: int, height: int) -> list[Text]:
    """Return at most `height` lines, none wider than `width`; `title` names the run."""
    rows = [row for row in _rows(shown) if row.parts]
    head = [_head(title, shown, width), _bar(shown, width)]
    while True:
        lines = head + [line for row in rows for line in _wrapped(row, width)]
        if len(lines) <= height or not rows:
            break
        rows.remove(max(reversed(rows), key=lambda row: row.rank))
    lines = lines[: max(1, height)]
    for line in lines:
        line.truncate(width, overflow="crop")
    return lines


def _rows(shown: Snapshot) -> list[Row]:
    services = shown.load.services
    servers = sorted(services.servers, key=lambda one: -one.requests)
    rows = [
        Row("episodes", _episodes(shown)),
        Row("success", _success(shown), 1),
        Row("tokens", _tokens(shown), 2),
        Row("cost", _cost(shown), 1),
        *(Row("model", _server(one), 3) for one in servers[:_SERVERS]),
        Row("", [Text(f"and {len(servers) - _SERVERS} more servers")], 4)
        if len(servers) > _SERVERS
        else Row("", []),
        *(Row("sandbox", _sandbox(one), 3) for one in services.sandboxes),
        Row("workers", _workers(services.workers, services.nodes), 4),
        Row("failures", _failures(shown.causes, shown.retried)),
    ]
    return rows + (_runs(shown) if len(shown.runs) > 1 else [])


def _head(title: str, shown: Snapshot, width: int) -> Text:
    elapsed = str(timedelta(seconds=int(shown.seconds)))
    room = width - len(_COMMAND) - len(elapsed) - 3
    if (wide := cell_len(title)) > room:
        # Its end tells runs apart.
        title = f"…{title[wide - room + 1 :]}"
    gap = max(1, width - len(_COMMAND) - cell_len(title) - len(elapsed) - 2)
    return Text.assemble(f" {_COMMAND} ", (title, "bold"), " " * gap, (elapsed, _QUIET))


def _bar(shown: Snapshot, width: int) -> Text:
    share = shown.done / shown.total if shown.total else 1.0
    counts = f" {shown.done:,} of {shown.total:,}"
    percent, left = f" · {share:.0%}", ""
    if shown.done < shown.total and shown.seconds_left is not None:
        left = f" · about {timedelta(seconds=int(shown.seconds_left))} left"
    room = width - 1 - len(counts + percent + left)
    length = max(0, min(_BAR, room))
    full = int(length * share)
    return Text.assemble(
        " ", ("━" * full, _GOOD), ("─" * (length - full), _QUIET), counts, percent, left
    )


def _episodes(shown: Snapshot) -> list[Text]:
    load = shown.load
    parts = [] if shown.episodes_now is None else [Text(f"{_rate(shown.episodes_now)} now")]
    if shown.episodes_overall is not None:
        parts.append(Text(f"{_rate(shown.episodes_overall)} overall"))
    return [*parts, Text(f"{load.in_flight:,} in flight"), Text(f"{load.queued:,} queued")]


def _success(shown: Snapshot) -> list[Text]:
    found = wilson(shown.successes, shown.counted)
    if found is None:
        return [Text("none counted yet", _QUIET)]
    rate = shown.successes / shown.counted
    interval = Text(f" ({100 * found.low:.1f}–{100 * found.high:.1f})", _QUIET)
    return [Text(f"{rate:.1%}") + interval, Text(f"{shown.counted:,} counted")]


def _tokens(shown: Snapshot) -> list[Text]:
    now = shown.tokens_now
    parts = [] if now is None else [Text(f"{now:,.0f}/s now")]
    return [*parts, Text(f"{_short(shown.load.spent.tokens)} spent")]


def _cost(shown: Snapshot) -> list[Text]:
    usd, parts = shown.load.spent.usd, []
    if usd or shown.usd_at_end:
        parts.append(Text(f"{_dollars(usd)} so far"))
    if shown.usd_at_end is not None and shown.done < shown.total:
        parts.append(Text(f"about {_dollars(shown.usd_at_end)} at the end"))
    if shown.budget_share is not None:
        style = _WARNING if shown.budget_share >= 0.9 else ""
        parts.append(Text(f"{shown.budget_share:.0%} of the budget", style))
    return parts


def _server(server: EndpointStats) -> list[Text]:
    parts = [Text(urlsplit(server.base_url).netloc or server.base_url)]
    if server.is_left_out:
        parts.append(Text("left out, it failed", _BAD))
    parts.append(Text(f"{server.under_way} under way"))
    if server.limit < server.most:
        parts.append(Text(f"limit {server.limit} of {server.most}", _WARNING))
    if server.pacing:
        parts.append(Text(f"{server.pacing} wait for the minute's limit", _WARNING))
    if server.closed_seconds >= 1:
        parts.append(Text(f"paused {server.closed_seconds:.0f} s", _WARNING))
    if server.waiting:
        parts.append(Text(f"{server.waiting} waiting"))
    if server.refused:
        parts.append(Text(f"{server.refused:,} refused (429)", _WARNING))
    if server.errors:
        errors = "error" if server.errors == 1 else "errors"
        parts.append(Text(f"{server.errors:,} {errors}", _BAD))
    return parts


def _sandbox(sandbox: SandboxStats) -> list[Text]:
    parts = [Text(sandbox.kind), Text(f"{sandbox.sessions} of {sandbox.capacity} sessions")]
    down, again = sandbox.sandboxes - sandbox.alive, sandbox.starts - sandbox.sandboxes
    if sandbox.sandboxes > 1:
        parts.append(Text(f"{sandbox.alive} of {sandbox.sandboxes} up", _BAD if down else ""))
    else:
        parts.append(Text("down", _BAD) if down else Text("up", _GOOD))
    if again > 0:
        parts.append(Text(f"restarted {again}×", _WARNING))
    return parts


def _workers(workers: int | None, nodes: int | None) -> list[Text]:
    if workers is None:
        return []
    where = f" on {nodes} node{'s' if nodes != 1 else ''}"
    return [Text(f"{workers}{where}", "" if workers else _BAD)]


def _failures(causes: Mapping[str, int], retried: Mapping[str, int]) -> list[Text]:
    parts = [
        Text(f"{cause} {count:,}", _QUIET if cause == "model" else _BAD)
        for cause, count in _largest_first(causes)
    ] or [Text("none", _QUIET)]
    if retried:
        said = ", ".join(f"{cause} {count:,}" for cause, count in _largest_first(retried))
        parts.append(Text(f"tried again: {said}", _WARNING))
    return parts


def _largest_first(counts: Mapping[str, int]) -> Iterable[tuple[str, int]]:
    return sorted(counts.items(), key=lambda one: (-one[1], one[0]))


def _runs(shown: Snapshot) -> list[Row]:
    """Return a row for each run that is under way, and one for the others."""
    begun = {n: r for n, r in shown.runs.items() if 0 < r[0] < r[1]}
    rows = []
    for name, (done, total, counted, successes) in list(begun.items())[:_RUNS]:
        rate = f"{successes / counted:.1%}" if counted else "-"
        rows.append(Row("run", [Text(name), Text(f"{done:,} of {total:,}"), Text(rate)], 5))
    ended = sum(done >= total for done, total, *_ in shown.runs.values())
    ahead = sum(done == 0 < total for done, total, *_ in shown.runs.values())
    more = len(begun) - len(rows)
    said = [Text(f"{len(shown.runs)} in all"), Text(f"{ended} ended"), Text(f"{ahead} to begin")]
    said += [Text(f"{more} more under way")] if more > 0 else []
    return [Row("runs", said, 4), *rows]


def _wrapped(row: Row, width: int) -> list[Text]:
    """Return the lines of a row: as many parts in each as fit."""
    lines = [Text(f" {row.label:<{_LABEL}}", _QUIET)]
    for number, part in enumerate(row.parts):
        separator = Text(" · ", _QUIET) if number else Text()
        if number and lines[-1].cell_len + separator.cell_len + part.cell_len > width:
            lines.append(Text(" " * (_LABEL + 1)))
            separator = Text()
        lines[-1] = Text.assemble(lines[-1], separator, part)
    return lines


def _rate(per_second: float) -> str:
    if per_second >= 1 or not per_second:
        return f"{per_second:,.1f}/s"
    return f"{60 * per_second:,.1f}/min"


def _short(count: int) -> str:
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e4, " k")):
        if count >= size:
            return f"{count / (1e3 if unit == ' k' else size):,.1f}{unit}"
    return f"{count:,}"


def _dollars(usd: float) -> str:
    return f"${usd:,.2f}" if usd >= 1 else f"${usd:.4f}"
