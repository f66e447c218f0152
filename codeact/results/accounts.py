"""What a run took, line by line, for the terminal."""

from collections.abc import Sequence

from rich.table import Table

from codeact.episode.accounts import AccountLine
from codeact.experiment.accounts import RunAccounts
from codeact.results.terminal import wide_console

_WORDS = {
    "policy": "policy",
    "feedback": "feedback",
    "discarded": "answers that could not be used",
    "lost": "attempts that failed",
    "replaced": "episodes played again later",
    "abandoned": "episodes without a record",
    "checks": "checks of models",
    "unlisted": "only in spent.json",
}
_PARTS = ("reasoning", "cached", "cache_written")
"""Of tokens that are among the others; shown where there are any."""


def show_accounts(accounts: RunAccounts) -> None:
    """Print the lines of a run's accounts, where the table of its results does not say it all."""
    lines = [(words, line) for name, words in _WORDS.items() if (line := getattr(accounts, name))]
    free = accounts.reused + accounts.reused_feedback
    parts = [part for part in _PARTS if getattr((accounts.spent + free).usage, part)]
    is_plain = all(words in ("policy", "feedback") for words, _ in lines)
    if not (is_plain and not free and not parts):
        _print(lines, accounts.spent, free, parts)
    for note in notes(accounts):
        wide_console().print(note, markup=False, highlight=False, soft_wrap=True)


def _print(
    lines: Sequence[tuple[str, AccountLine]],
    spent: AccountLine,
    free: AccountLine,
    parts: Sequence[str],
) -> None:
    table = Table(title="accounts", title_justify="left")
    table.add_column("what was asked")
    names = (name.replace("_", " ") for name in parts)
    for name in ("requests", "prompt", "completion", *names, "tokens", "USD"):
        table.add_column(name, justify="right")
    for words, line in lines:
        table.add_row(words, *_cells(line, parts))
    table.add_section()
    table.add_row("spent", *_cells(spent, parts))
    if free:
        table.add_row("from the cache, free", *_cells(free, parts))
    wide_console().print(table)


def _cells(line: AccountLine, parts: Sequence[str]) -> list[str]:
    usage = line.usage
    return [
        f"{line.requests:,}",
        f"{usage.prompt:,}",
        f"{usage.completion:,}",
        *(f"{getattr(usage, part):,}" for part in parts),
        f"{line.tokens:,}",
        # Four digits, so that rounded lines add up to the cent.
        "-" if line.cost is None else f"{line.cost:.4f}",
    ]


def notes(accounts: RunAccounts) -> list[str]:
    """Return what the sums do not contain, and what does not add up."""
    found = []
    if accounts.unknown:
        found.append(
            f"unknown: {accounts.unknown:,} requests may have been charged, and nobody said what "
            "they took; their tokens are in no sum"
        )
    if accounts.unpriced and accounts.spent.cost is not None:
        found.append(f"unknown: {accounts.unpriced:,} answers have no known cost")
    if (own := accounts.counted).differ:
        counted, told = own.counted, own.reported
        found.append(
            f"counted: by their ids, {own.turns:,} turns took {counted.prompt:,} prompt and "
            f"{counted.completion:,} completion tokens, and by the server {told.prompt:,} and "
            f"{told.completion:,}; {own.differ:,} of them differ"
        )
    if accounts.mismatches:
        found.append(
            f"the accounts do not add up in {accounts.mismatches:,} places; the first: "
            f"{accounts.first_mismatch}"
        )
    return found
