"""What import, export, convert and stats print."""

import sys
from collections.abc import Mapping

from rich.table import Table

from codeact.collection.formats import Converted
from codeact.collection.mixing import MixedSource
from codeact.collection.packing import PackReport
from codeact.collection.token_export import TokenExport
from codeact.collection.tokens import ALL, StatisticsReport
from codeact.experiment.summary import Summary
from codeact.recordings.exchange import Exchange
from codeact.results.tables import show_runs
from codeact.results.terminal import list_problems, wide_console

_SHOWN_PLACES = 30


def show_exported(found: Exchange, out: str) -> bool:
    """Print every file that was written, with its episodes; returns whether there are problems."""
    for name, episodes in list(found.places.items())[:_SHOWN_PLACES]:
        sys.stdout.write(f"{name}: {episodes:,} episodes\n")
    if (more := len(found.places) - _SHOWN_PLACES) > 0:
        sys.stdout.write(f"and {more} more\n")
    return _show_exchange("file", found, out)


def show_imported(summaries: Mapping[str, Summary], found: Exchange, out: str) -> bool:
    """Print a table of the imported runs; returns whether there are problems."""
    show_runs("imported runs", {name: one.overall for name, one in sorted(summaries.items())})
    return _show_exchange("run folder", found, out)


def _show_exchange(kind: str, found: Exchange, out: str) -> bool:
    plural = "" if len(found.places) == 1 else "s"
    sys.stdout.write(
        f"{found.episodes:,} episodes in {len(found.places)} {kind}{plural} beneath {out}\n"
    )
    return list_problems(found.problems)


def show_statistics(found: StatisticsReport, out: str) -> None:
    """Print one row for each data set of each tier, and one for the whole tier."""
    table = Table(title=f"tokens by {found.tokenizer}", title_justify="left")
    table.add_column("tier")
    table.add_column("task")
    for head in ("examples", "tokens", "mean", "p50", "p90", "p99", "longest"):
        table.add_column(head, justify="right")
    table.add_column(f"over {found.limit:,}", justify="right")
    for row in found.rows:
        numbers = (row.p50, row.p90, row.p99, row.longest)
        table.add_row(
            row.tier,
            row.task,
            f"{row.examples:,}",
            f"{row.tokens:,}",
            f"{row.mean:,.1f}",
            *(f"{number:,}" for number in numbers),
            f"{row.clipped_share:.2%}",
            end_section=row.task == ALL,
        )
    wide_console().print(table)
    sys.stdout.write(f"written to {out}\n")


def show_converted(done: Converted, out: str) -> None:
    """Print every file that was written, with its number of examples, and what was mixed."""
    if done.mix:
        _show_mix(done.mix)
    if done.tokens is not None:
        sys.stdout.write(_tokens(done.tokens))
    if done.atif is not None and done.atif.left_out:
        sys.stdout.write(_left_out(done.atif.left_out))
    for name, examples in done.examples.items():
        if (packing := done.packing.get(name)) is None:
            sys.stdout.write(f"{out}/{name}: {examples:,} examples\n")
        else:
            sys.stdout.write(f"{out}/{name}: {_packed(packing)}\n")


def _show_mix(mix: list[MixedSource]) -> None:
    table = Table(title="mixed", title_justify="left")
    table.add_column("source")
    table.add_column("asked")
    for head in ("usable", "taken", "share", "duplicates", "known prompts", "contaminated"):
        table.add_column(head, justify="right")
    for one in mix:
        table.add_row(
            one.path,
            one.asked,
            f"{one.usable:,}",
            f"{one.taken:,}",
            f"{one.share:.1%}",
            *(f"{n:,}" for n in (one.duplicates, one.known_prompts, one.contaminated)),
        )
    wide_console().print(table)


def _tokens(found: TokenExport) -> str:
    said = f"{found.episodes:,} episodes, {found.tokens:,} tokens, {found.trained:,} trained\n"
    if found.differing:
        said += (
            f"the servers' own accounts say {found.reported:,}; for {found.differing:,} episodes "
            "they differ from the ids\n"
        )
    return said + _left_out(found.left_out)


def _left_out(reasons: Mapping[str, int]) -> str:
    said = ", ".join(f"{count:,} {reason}" for reason, count in reasons.items())
    return f"left out: {said}\n" if said else ""


def _packed(found: PackReport) -> str:
    return (
        f"{found.examples:,} examples in {found.rows:,} rows of up to {found.length:,} tokens "
        f"({found.tokenizer}); {found.tokens:,} tokens, {found.trained_tokens:,} of them trained, "
        f"padding {found.padding_share:.1%}; {found.examples_cut:,} examples cut, "
        f"{found.tokens_lost:,} tokens lost ({found.trained_tokens_lost:,} trained), "
        f"{found.examples_left_out:,} examples left out with nothing to train"
    )
