"""``codeact import SOURCE... OUT``: published recordings become run folders, losslessly.

Each SOURCE is a ``results.jsonl`` or a tree of them (.gz too). Every experiment (model, feedback,
turn setting) becomes one run folder, as if ``codeact run`` had played it, with all its data sets;
``codeact export`` gives the same JSON values again.
"""

from codeact.commands.arguments import configuration, parse, sources
from codeact.commands.help import tell_if_asked
from codeact.recordings.exchange import ImportConfig, import_trees
from codeact.results.exchange import show_exchange


def main(words: list[str]) -> int:
    """Run the command; returns 0 when every line of the sources became an episode."""
    arguments = parse("import", words, positional="source", out_last=True)
    if tell_if_asked("import", __doc__ or "", arguments, ImportConfig):
        return 0
    config = configuration("import", sources(arguments), ImportConfig)
    return int(show_exchange("run folder", import_trees(config), config.out))
