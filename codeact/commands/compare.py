"""``codeact compare [A B ...]``: how runs of the same tasks differ, and how sure that is.

Each is a run folder, a published ``results.jsonl`` tree, or ``wandb://ENTITY/PROJECT/RUN-OR-GROUP``;
the first is the baseline. One folder of several runs, such as a sweep's, compares all of them with
its first; without any, the two newest runs of this folder are compared. ``out=DIR`` writes a report
and plots. ``gate=-0.02`` ends with status 3 where a run is surely worse than that, and 4 where that
is undecided.
``plan=true tasks=500 samples=4 discordance=0.2`` says what a comparison would see.
"""

from codeact.commands.arguments import configuration, parse, sources
from codeact.commands.help import tell_if_asked
from codeact.results.comparison.compare import compare_as
from codeact.results.comparison.gate import gate_status
from codeact.results.comparison.plan import show_plan
from codeact.results.comparison.settings import CompareConfig
from codeact.results.comparison.terminal import show_comparison


def main(words: list[str]) -> int:
    """Run the command; returns 0, or what ``gate`` says."""
    arguments = parse("compare", words, positional="source")
    if tell_if_asked("compare", __doc__ or "", arguments, CompareConfig):
        return 0
    config = configuration("compare", sources(arguments), CompareConfig)
    if config.plan:
        show_plan(config)
        return 0
    comparison = compare_as(config)
    show_comparison(comparison.report, config.flips)
    if config.out is not None:
        from codeact.results.comparison.files import write_report

        write_report(comparison.report, config.out)
    return gate_status(comparison.report, config.gate)
