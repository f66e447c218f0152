"""``codeact stats FILE... out=DIR tokenizer=NAME``: how long training conversations are.

Each FILE is a file of conversations or a folder of them, as ``codeact select`` writes them. Counts
the ChatML rendering, BOS included, by data set and tier (the file's name).
Tokenizers: cl100k, o200k, llama3, qwen3, or sentencepiece:PATH.
"""

from codeact.collection.tokens import StatsConfig, statistics
from codeact.commands.arguments import configuration, parse, sources
from codeact.commands.help import tell_if_asked
from codeact.results.exchange import show_statistics
from codeact.results.terminal import list_problems


def main(words: list[str]) -> int:
    """Run the command; returns 0 when every line of the sources could be read."""
    arguments = parse("stats", words, positional="source")
    if tell_if_asked("stats", __doc__ or "", arguments, StatsConfig):
        return 0
    config = configuration("stats", sources(arguments), StatsConfig)
    found = statistics(config)
    show_statistics(found, config.out)
    return int(list_problems(found.problems))
