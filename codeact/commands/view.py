"""``codeact view RUN... [ID]``: recorded episodes on a local page, as text or as JSON.

Each RUN is a run folder, a ``results.jsonl`` or a tree of either; without one it is ``runs``. The
page lists and searches episodes, shows them turn by turn and two runs side by side, and follows a
live run. It is on this machine alone; press Ctrl-C to end it. ID is an episode's id or how it
begins: --text prints it, --json gives it to programs, and without ID both list the episodes.
--static OUT writes the page to a folder that opens from disk.
"""

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from codeact.commands.arguments import Arguments, configuration, parse, sources
from codeact.commands.help import tell_if_asked
from codeact.exceptions import ConfigError
from codeact.view.settings import ViewConfig

if TYPE_CHECKING:
    from codeact.view.runs import ViewedRuns

_FORMS = {"--text": "form=text", "--json": "form=json"}


def main(words: list[str]) -> int:
    """Run the command; returns 0 once everything was shown."""
    arguments = _parsed(words)
    if tell_if_asked("view", __doc__ or "", arguments, ViewConfig):
        return 0
    config = configuration("view", sources(arguments), ViewConfig)
    for source in config.sources:
        if source != "runs" and not Path(source).exists():
            raise ConfigError(f"{source}: there is no such run folder or file")
    from codeact.view.runs import ViewedRuns

    runs = ViewedRuns(config.sources)
    try:
        runs.refresh()
        if config.static is not None:
            return _export(runs, config.static)
        if config.form == "page":
            return _serve(runs, config)
        return _print(runs, config)
    finally:
        runs.close()


def _parsed(words: list[str]) -> Arguments:
    """Read the command line: ``--text`` and the like, and an ID among the paths."""
    given: list[str] = []
    rest = iter(words)
    for word in rest:
        if word == "--static":
            given.append(f"static={next(rest, '')}")
        elif word.startswith("--static="):
            given.append(word.removeprefix("--"))
        else:
            given.append(_FORMS.get(word, word))
    if "static=" in given:
        raise ConfigError("--static needs a folder: codeact view RUN --static OUT")
    bare = [word for word in given if "=" not in word and not word.startswith(("-", "~"))]
    if len(bare) > 1 and not Path(bare[-1]).exists():
        given[given.index(bare[-1])] = f"episode='{bare[-1]}'"
    return parse("view", given, positional="source")


def _serve(runs: "ViewedRuns", config: ViewConfig) -> int:
    import uvloop

    async def serve() -> None:
        from codeact.view.server import serving

        async with serving(runs, config.selection.conversion, config.port) as address:
            sys.stdout.write(f"{address}\n")
            sys.stdout.flush()
            sys.stderr.write("open this address in a browser; Ctrl-C ends the page\n")
            await asyncio.Event().wait()

    try:
        uvloop.run(serve())
    except KeyboardInterrupt:
        return 0
    return 0


def _export(runs: "ViewedRuns", out: str) -> int:
    from codeact.view.export import write_export

    episodes = write_export(runs, Path(out))
    sys.stdout.write(f"{episodes:,} episodes: open {Path(out) / 'index.html'} in a browser\n")
    return 0


def _print(runs: "ViewedRuns", config: ViewConfig) -> int:
    from codeact.view.printing import print_episode, print_list

    if config.episode is None:
        print_list(runs, config.form, sys.stdout)
    else:
        print_episode(runs, config.episode, config.form, sys.stdout)
    return 0
