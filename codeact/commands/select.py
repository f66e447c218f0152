"""``codeact select SOURCE... out=DIR [selection=ours|published]``: training conversations.

Each SOURCE is a run folder, a ``results.jsonl`` or a tree of either (.gz too). Writes a file of
conversations for each tier, and ``report.json`` with what every rule dropped. With ``name=NAME``
also one file ``NAME.jsonl`` of all tiers.
"""

from codeact.collection.conversations import REPORT
from codeact.collection.pipeline import select
from codeact.collection.settings import SelectConfig
from codeact.commands.arguments import configuration, parse, sources
from codeact.commands.help import tell_if_asked
from codeact.results.collection import show_selection
from codeact.results.terminal import list_problems


def main(words: list[str]) -> int:
    """Run the command; returns 0 when every line of the sources could be read."""
    arguments = parse("select", words, positional="source")
    if tell_if_asked("select", __doc__ or "", arguments, SelectConfig):
        return 0
    config = configuration("select", sources(arguments), SelectConfig)
    report = select(config)
    show_selection(report, config.out)
    return int(list_problems(report.problems, REPORT))
