"""``codeact regrade SOURCE grading=strict|mint``: new verdicts for recorded answers, no model.

SOURCE is a run folder, a ``results.jsonl`` or a tree of either (.gz too). Every distinct answer is
graded once and compared with ``against``: the verdict that was ``recorded``, or the other mode's.
Answers whose verdicts differ are listed, and written line by line to ``out``.
"""

import sys
from contextlib import ExitStack
from typing import cast

import msgspec
import uvloop

from codeact.commands.arguments import configuration, open_lines, parse
from codeact.commands.help import tell_if_asked
from codeact.commands.missing import without_missing
from codeact.exceptions import ConfigError
from codeact.experiment.config.schema import RegradeConfig
from codeact.experiment.plan import load_sets
from codeact.experiment.regrade import Against, Regraded, Regrader, proposals
from codeact.experiment.replay import chosen_files
from codeact.experiment.resources import Resources
from codeact.experiment.skipped import Skipped, nothing_belongs
from codeact.experiment.strategies import strategy
from codeact.results.tables import show_regrade, show_skipped


def main(words: list[str]) -> int:
    """Run the command; returns 0 when every answer got a verdict."""
    arguments = parse("regrade", words, positional="source")
    if tell_if_asked("regrade", __doc__ or "", arguments, RegradeConfig):
        return 0
    (config,) = without_missing([configuration("regrade", arguments, RegradeConfig)])
    return uvloop.run(_regrade(config))


async def _regrade(config: RegradeConfig) -> int:
    sets = load_sets(config)
    files = chosen_files(config.source, config.filter)
    skipping = Skipped()
    chosen = proposals(files, sets, strategy("code"), skipping)
    skipped = skipping.found()
    if not chosen:
        raise ConfigError(nothing_belongs(config.source, "answer", config.task.sets, skipped))
    regraded: list[Regraded] = []
    with ExitStack() as stack:
        out = open_lines(config.out, stack)
        async with Resources() as resources:
            sandbox = await resources.sandbox(config.executor)
            regrader = Regrader(
                sets,
                sandbox,
                config.grading.mode,
                cast(Against, config.against),
                config.compute.concurrency,
            )
            async for one in regrader.regrade(chosen):
                regraded.append(one)
                if one.differs and out is not None:
                    out.write(msgspec.json.encode(one) + b"\n")
    show_regrade(regraded, config.grading.mode, config.against, listed=config.out is None)
    show_skipped(skipped)
    failed = [one for one in regraded if one.new is None or one.old is None]
    for one in failed:
        sys.stderr.write(f"no verdict: {one.task}: {one.detail}\n")
    return int(bool(failed))
