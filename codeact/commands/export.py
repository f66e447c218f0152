"""``codeact export RUN... OUT``: run folders as the published ``results.jsonl`` trees.

Each RUN is a run folder or a tree of them. Episodes from ``codeact import`` come out with the same
JSON values. Of our own episodes the last record of each is written, without failures that are not
the model's.
"""

from codeact.commands.arguments import configuration, parse, sources
from codeact.commands.help import tell_if_asked
from codeact.datasets import split_of, task_type_of
from codeact.recordings.exchange import ExportConfig, export_runs
from codeact.results.exchange import show_exported


def main(words: list[str]) -> int:
    """Run the command; returns 0 when every episode was written."""
    arguments = parse("export", words, positional="source", out_last=True)
    if tell_if_asked("export", __doc__ or "", arguments, ExportConfig):
        return 0
    config = configuration("export", sources(arguments), ExportConfig)
    return int(show_exported(export_runs(config, task_type_of, split_of), config.out))
