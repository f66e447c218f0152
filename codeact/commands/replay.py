"""``codeact replay SOURCE``: recorded episodes through the live environment.

SOURCE is a run folder, a ``results.jsonl`` or a tree of either (.gz too). Policy and feedback
say what was recorded; code, grading and counting are live. Differences are counted by class, and
written line by line to ``out``.
"""

import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack

import msgspec
import uvloop

from codeact.commands.arguments import configuration, open_lines, parse
from codeact.commands.help import tell_if_asked
from codeact.commands.missing import without_missing
from codeact.exceptions import ConfigError
from codeact.experiment.comparing import DIFFERENT
from codeact.experiment.config.schema import ReplayConfig
from codeact.experiment.plan import load_sets
from codeact.experiment.replay import Difference, Replayer, Score, chosen_files
from codeact.experiment.resources import Resources
from codeact.experiment.skipped import nothing_belongs
from codeact.experiment.strategies import strategy
from codeact.experiment.toolboxes import toolbox_of
from codeact.results.tables import show_replay, show_skipped


def main(words: list[str]) -> int:
    """Run the command; returns 0 when every difference is of an honest class."""
    arguments = parse("replay", words, positional="source")
    if tell_if_asked("replay", __doc__ or "", arguments, ReplayConfig):
        return 0
    (config,) = without_missing([configuration("replay", arguments, ReplayConfig)])
    return uvloop.run(_replay(config))


async def _replay(config: ReplayConfig) -> int:
    files = chosen_files(config.source, config.filter)
    sets = load_sets(config.model_copy(update={"limit": None, "total_limit": None}))
    tools = toolbox_of(config, config.search)
    tools.require({name for one in sets for task in one.tasks for name in task.tools})
    scores: dict[str, Score] = {}
    unexplained: list[Difference] = []
    start = time.monotonic()
    with ExitStack() as stack:
        out = open_lines(config.out, stack)
        async with Resources() as resources:
            sandbox = await resources.sandbox(config.executor)
            prompt = strategy(config.prompt.strategy)
            shared = resources.tools(config, tools)
            replayer = Replayer(sets, sandbox, prompt, shared, config.compute.concurrency)
            for number, file in enumerate(files, 1):
                left = _left(config, scores)
                async for replayed in replayer.replay_file(file, left):
                    scores.setdefault(replayed.group, Score()).add(replayed)
                    for difference in replayed.differences:
                        if out is not None:
                            out.write(msgspec.json.encode(difference) + b"\n")
                        if difference.kind == DIFFERENT or difference.what != "observation":
                            unexplained.append(difference)
                sys.stderr.write(f"{number}/{len(files)} files, {time.monotonic() - start:.0f} s\n")
    skipped = replayer.skipped.found()
    if not scores:
        raise ConfigError(nothing_belongs(config.source, "episode", config.task.sets, skipped))
    show_replay(scores, unexplained)
    show_skipped(skipped)
    return int(any(d.what != "network observation" for d in unexplained))


def _left(config: ReplayConfig, scores: Mapping[str, Score]) -> int | None:
    """How many episodes of the next file are played; None is all of them."""
    if config.total_limit is None:
        return config.limit
    left = config.total_limit - sum(score.episodes for score in scores.values())
    return left if config.limit is None else min(left, config.limit)
