"""``codeact tiers SOURCE... out=DIR [selection=ours|published]``: how hard the tasks were.

Each SOURCE is a run folder, a ``results.jsonl`` or a tree of either (.gz too). Every record gets a
tier or the reason why it has none, in ``records.csv``. Tasks that no weaker model solved are in
``unsolved.tsv``, and with ``task=OPTION data=DIR`` also in ``hard/``, as task files for the strong
model.
"""

from codeact.collection.conversations import REPORT
from codeact.collection.pipeline import sort_into_tiers
from codeact.collection.settings import TiersConfig
from codeact.commands.arguments import configuration, parse, sources
from codeact.commands.help import tell_if_asked
from codeact.commands.missing import without_missing
from codeact.results.collection import show_tiers
from codeact.results.terminal import list_problems


def main(words: list[str]) -> int:
    """Run the command; returns 0 when every line of the sources could be read."""
    arguments = parse("tiers", words, positional="source")
    if tell_if_asked("tiers", __doc__ or "", arguments, TiersConfig):
        return 0
    (config,) = without_missing([configuration("tiers", sources(arguments), TiersConfig)])
    report = sort_into_tiers(config)
    show_tiers(report, config.out)
    return int(list_problems(report.problems, REPORT))
