"""``codeact import SOURCE... OUT``: published recordings become run folders, losslessly.

Each SOURCE is a ``results.jsonl`` or a tree of them (.gz too). Every experiment (model, feedback,
turn setting) becomes one run folder, as if ``codeact run`` had played it, with all its data sets
and ``summary.json``; ``codeact export`` gives the same JSON values again.
"""

from pathlib import Path

from codeact.commands.arguments import configuration, parse, sources
from codeact.commands.help import tell_if_asked
from codeact.episode.record import EpisodeRecord
from codeact.experiment.summary import Summary
from codeact.recordings.exchange import ImportConfig, import_trees
from codeact.recordings.run_folder import SUMMARY, write_whole
from codeact.results.exchange import show_imported


def main(words: list[str]) -> int:
    """Run the command; returns 0 when every line of the sources became an episode."""
    arguments = parse("import", words, positional="source", out_last=True)
    if tell_if_asked("import", __doc__ or "", arguments, ImportConfig):
        return 0
    config = configuration("import", sources(arguments), ImportConfig)
    summaries: dict[str, Summary] = {}

    def seen(folder: str, record: EpisodeRecord) -> None:
        summaries.setdefault(folder, Summary()).add(record)

    found = import_trees(config, seen)
    for folder, summary in summaries.items():
        write_whole(Path(config.out) / folder / SUMMARY, summary.to_json())
    return int(show_imported(summaries, found, config.out))
