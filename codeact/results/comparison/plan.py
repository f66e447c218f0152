"""What a comparison would see, before anything is played."""

from rich.table import Table

from codeact.results.comparison.settings import CompareConfig
from codeact.results.terminal import wide_console
from codeact.statistics.equivalence import ALPHA
from codeact.statistics.power import POWER, Design, detectable_difference, power, tasks_needed

_USUAL = (0.01, 0.02, 0.03, 0.05, 0.1)
_WHOLE = 100


def show_plan(config: CompareConfig) -> None:
    """Print the smallest difference that the plan shows, and how many tasks others need."""
    design = Design(config.tasks, config.samples, config.discordance, config.chance)
    console = wide_console()
    console.print(
        f"{config.tasks:,} tasks, {config.samples} sample{'s' * (config.samples > 1)} of each, "
        f"discordance {config.discordance:g}, of which {config.chance:.0%} chance; two-sided tests "
        f"at {ALPHA:g}, power {POWER:.0%}",
        soft_wrap=True,
    )
    found = detectable_difference(design)
    console.print(
        "no difference would be seen that often"
        if found is None
        else f"smallest difference that would be seen: {_WHOLE * found:.1f} points",
        soft_wrap=True,
    )
    table = Table()
    for name in ("difference", "power of this plan", "tasks needed"):
        table.add_column(name, justify="right")
    wanted = _USUAL if config.difference is None else (config.difference,)
    for difference in (one for one in wanted if one <= config.discordance):
        needed = tasks_needed(difference, design)
        table.add_row(
            f"{_WHOLE * difference:.1f} points",
            f"{power(design, difference):.0%}",
            "-" if needed is None else f"{needed:,}",
        )
    console.print(table)
