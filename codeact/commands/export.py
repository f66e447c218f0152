"""``codeact export RUN... OUT``: run folders as the published ``results.jsonl`` trees.

Each RUN is a run folder or a tree of them. What ``codeact import`` made comes out with the same
JSON values; of episodes of our own, the last record of each, without failures that are not the
model's.
"""

from codeact.commands.arguments import configuration, parse, sources
from codeact.commands.help import tell_if_asked
from codeact.datasets import task_type_of
from codeact.recordings.exchange import ExportConfig, export_runs
from codeact.results.exchange import show_exchange


def main(words: list[str]) -> int:
    """The command; 0 when every episode was written."""
    arguments = parse("export", words, positional="source", out_last=True)
    if tell_if_asked("export", __doc__ or "", arguments, ExportConfig):
        return 0
    config = configuration("export", sources(arguments), ExportConfig)
    return int(show_exchange("file", export_runs(config, task_type_of), config.out))
