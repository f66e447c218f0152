"""``codeact convert FILE... out=DIR format=sft|openai|hf|preference``: what training reads.

Each FILE is a file of conversations or a folder of them, as ``codeact select`` writes them; with
format=preference, a run folder, a ``results.jsonl`` or a tree of either. loss= says which turns
are trained, tags= how code and solutions are marked. push=true sends an hf data set to a hub;
licence= goes into its card.
"""

from codeact.collection.formats import ConvertConfig, convert_files
from codeact.commands.arguments import configuration, parse, sources
from codeact.commands.help import tell_if_asked
from codeact.results.exchange import show_converted
from codeact.results.terminal import list_problems


def main(words: list[str]) -> int:
    """Run the command; returns 0 when every line of the sources was converted."""
    arguments = parse("convert", words, positional="source")
    if tell_if_asked("convert", __doc__ or "", arguments, ConvertConfig):
        return 0
    config = configuration("convert", sources(arguments), ConvertConfig)
    done = convert_files(config)
    show_converted(done, config.out)
    return int(list_problems(done.problems))
