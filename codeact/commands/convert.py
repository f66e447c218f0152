"""``codeact convert FILE... out=DIR format=FORMAT``: conversations as training programs read them.

Each FILE is a file of conversations or a folder of them, as ``codeact select`` writes them or in
the shapes of ShareGPT, OpenOrca and OpenAI; with format=preference, tokens or atif, a run folder, a
``results.jsonl`` or a tree of either. Formats: sft, openai, hf (parquet with a card), preference;
text by chatml, llama3, qwen3, or template with template=FOLDER, a tokenizer's; tokens (parquet, of
runs with model.tokens=exact) and atif (a JSON for each episode), whose episodes= says which. loss=
says which turns are trained, reasoning=drop leaves reasoning out, tags= says how code and solutions
are marked. mix=[{path: FILE, weight: 0.3}] mixes
other conversations in, pack=4096 packs the tokens of text into rows. push=true sends an hf data
set to a hub; licence= goes into its card.
"""

from codeact.collection.convert_settings import ConvertConfig
from codeact.collection.formats import convert_files
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
