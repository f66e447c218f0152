"""Tables of collections for the terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from codeact.collection.recipe import Estimate
from codeact.collection.report import SelectionReport
from codeact.collection.tokens import ALL
from codeact.episode.effects import total_cost
from codeact.results.terminal import wide_console


def show_tiers(report: SelectionReport, out: str) -> None:
    """Print the records by data set: their tiers, and the unsolved tasks."""
    names = sorted(
        {name for tier in report.tiers.values() for name in tier.by_task}
        | set(report.unsolved_by_task)
    )
    table = Table(title=f"tiers of {report.records:,} records", title_justify="left")
    table.add_column("task")
    for head in (*report.tiers, "unsolved tasks"):
        table.add_column(head, justify="right")
    for name in names:
        counts = [tier.by_task.get(name, 0) for tier in report.tiers.values()]
        table.add_row(name, *_numbers(*counts, report.unsolved_by_task.get(name, 0)))
    table.add_section()
    totals = [tier.records for tier in report.tiers.values()]
    table.add_row("all", *_numbers(*totals, report.unsolved))
    console = wide_console()
    console.print(table)
    console.print(_elsewhere(report), highlight=False, soft_wrap=True)
    console.print(f"written to {out}", markup=False, highlight=False, soft_wrap=True)


def show_selection(report: SelectionReport, out: str) -> None:
    """Print each tier: its records, what every rule dropped, and its conversations."""
    table = Table(title=f"selection from {report.records:,} records", title_justify="left")
    table.add_column("")
    for tier in report.tiers:
        table.add_column(tier, justify="right")
    tiers = list(report.tiers.values())
    table.add_row("records", *_numbers(*(tier.records for tier in tiers)))
    for row in zip(*(tier.taken for tier in tiers), strict=True):
        table.add_row(f"taken by {row[0].name}", *_numbers(*(one.records for one in row)))
    table.add_section()
    table.add_row("conversations", *_numbers(*(tier.kept for tier in tiers)))
    table.add_row("messages", *_numbers(*(tier.messages for tier in tiers)))
    table.add_row("characters", *_numbers(*(tier.characters for tier in tiers)))
    table.add_row("repeated ids", *_numbers(*(tier.duplicate_ids for tier in tiers)))
    console = wide_console()
    console.print(table)
    console.print(_elsewhere(report), highlight=False, soft_wrap=True)
    if report.whole:
        text = f"all tiers: {sum(tier.kept for tier in tiers):,} conversations in {report.whole}"
        console.print(text, markup=False, highlight=False, soft_wrap=True)
    console.print(f"written to {out}", markup=False, highlight=False, soft_wrap=True)


def show_estimates(estimates: Sequence[Estimate], assumed: Mapping[str, int]) -> None:
    """Print what each stage of a recipe may cost, and the assumptions."""
    table = Table(title="estimate of what the stages take", title_justify="left")
    for head in ("stage", "episodes", "prompt tokens", "completion tokens", "USD"):
        table.add_column(head, justify="left" if head == "stage" else "right")
    *weak, strong = estimates
    idle = [Estimate(stage, 0, 0, 0, 0.0) for stage in ("tiers", "select", "statistics")]
    for one in [*weak, idle[0], strong, *idle[1:]]:
        numbers = _numbers(one.episodes, one.prompt, one.completion)
        table.add_row(one.stage, *numbers, _dollars(one.usd))
    table.add_section()
    totals = (sum(getattr(one, key) for one in estimates) for key in _COUNTED)
    table.add_row("all", *_numbers(*totals), _dollars(_total([one.usd for one in estimates])))
    console = wide_console()
    console.print(table)
    console.print(
        f"assumed for an episode: {assumed['prompt']:,} prompt and {assumed['completion']:,} "
        "completion tokens (recipe.assumed), no feedback, nothing solved before the strong model",
        highlight=False,
        soft_wrap=True,
    )


def show_collection(stages: Mapping[str, Mapping[str, Any]], out: str) -> None:
    """Print what every stage of a recipe did and cost."""
    table = Table(title="collection", title_justify="left")
    for head in ("stage", "episodes", "solved", "tokens", "USD", "conversations"):
        table.add_column(head, justify="left" if head == "stage" else "right")
    for name, report in stages.items():
        if "tiers" in report:
            kept = sum(tier["kept"] for tier in report["tiers"].values())
            table.add_row(name, f"{report['records']:,}", "", "", "", f"{kept:,}" if kept else "")
        elif "rows" in report:
            rows = [row for row in report["rows"] if row["task"] == ALL]
            tokens, examples = (sum(row[key] for row in rows) for key in ("tokens", "examples"))
            table.add_row(name, "", "", f"{tokens:,}", "", f"{examples:,}")
        elif "source" in report:
            table.add_row(name, "recorded", "", "", "", "")
        elif report["episodes"]:
            tokens = report["prompt"] + report["completion"] + report["feedback_tokens"]
            numbers = _numbers(report["episodes"], report["successes"], tokens)
            # Stages that older versions finished have no sum of all that was spent.
            parts = total_cost([report["usd"], report["feedback_usd"]])
            table.add_row(name, *numbers, _dollars(report.get("spent_usd", parts)), "")
        else:
            table.add_row(name, "0", "", "", "", "")
    console = wide_console()
    console.print(table)
    console.print(f"written to {out}", markup=False, highlight=False, soft_wrap=True)


_COUNTED = ("episodes", "prompt", "completion")


def _total(usd: Sequence[float | None]) -> float | None:
    """The sum; None where a part of it is not known."""
    known = [one for one in usd if one is not None]
    return sum(known) if len(known) == len(usd) else None


def _dollars(usd: float | None) -> str:
    return "no prices" if usd is None else f"{usd:,.2f}"


def _elsewhere(report: SelectionReport) -> str:
    parts = {
        **report.reasons,
        "unreadable": report.unreadable,
        "redone": report.redone,
        "failed for no fault of the model's": report.uncounted,
        "with feedback": report.skipped,
    }
    words = [f"{count:,} {name.replace('_', ' ')}" for name, count in parts.items() if count]
    return f"in no tier: {', '.join(words) or 'none'}"


def _numbers(*values: int) -> list[str]:
    return [f"{value:,}" for value in values]
