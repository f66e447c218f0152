"""``codeact validate task=NAME``: check that every reference passes its own grader.

Reads the task files, makes a correct answer from each reference and grades it, without a model.
Tasks that bring a walkthrough are also solved by it in every action format that ``formats`` names.
Tasks without a known answer are counted by the reason, and written one by one to ``out``.
"""

import sys
from contextlib import AsyncExitStack, ExitStack

import msgspec
import uvloop

from codeact.commands.arguments import configuration, open_lines, parse
from codeact.commands.help import tell_if_asked
from codeact.commands.missing import without_missing
from codeact.experiment.config.schema import ValidateConfig
from codeact.experiment.plan import load_sets
from codeact.experiment.resources import Resources
from codeact.experiment.toolboxes import toolbox_of
from codeact.experiment.validate import ValidationReport, validate
from codeact.experiment.walkthroughs import Walked, walk
from codeact.results.tables import show_validation
from codeact.results.walkthroughs import show_walkthroughs
from codeact.tools.settings import NoSearch


def main(words: list[str]) -> int:
    """Run the command; returns 0 when every reference passes."""
    arguments = parse("validate", words)
    if tell_if_asked("validate", __doc__ or "", arguments, ValidateConfig):
        return 0
    (config,) = without_missing([configuration("validate", arguments, ValidateConfig)])
    with ExitStack() as stack:
        out = open_lines(config.out, stack)
        reports, walked = uvloop.run(_validate(config))
        stuck = [one for found in walked.values() for format_ in found for one in format_.stuck]
        if out is not None:
            for report in reports.values():
                listed = (*report.unfit, *report.unknown)
                out.writelines(msgspec.json.encode(one) + b"\n" for one in listed)
            out.writelines(msgspec.json.encode(one) + b"\n" for one in stuck)
    show_validation(reports, {name: chosen.path for name, chosen in config.task.sets.items()})
    show_walkthroughs(walked)
    unfit = sum(len(report.unfit) for report in reports.values())
    if unfit:
        sys.stderr.write(f"{unfit} references fail their own grader.\n")
    if stuck:
        sys.stderr.write(f"{len(stuck)} walkthroughs do not solve their tasks.\n")
    return int(bool(unfit or stuck))


async def _validate(
    config: ValidateConfig,
) -> tuple[dict[str, ValidationReport], dict[str, list[Walked]]]:
    sets = load_sets(config)
    for notice in filter(None, (loaded.notice for loaded in sets)):
        sys.stderr.write(f"{notice}\n")
    tools = toolbox_of(config, NoSearch())
    tools.require({name for loaded in sets for task in loaded.tasks for name in task.tools})
    async with Resources() as resources, AsyncExitStack() as stack:
        stack.push_async_callback(tools.close)
        sandbox = await resources.sandbox(config.executor)
        mode = config.grading.mode
        reports = {
            loaded.name: await validate(loaded.family, loaded.tasks, sandbox, mode, tools)
            for loaded in sets
        }
        walked = {
            loaded.name: await walk(
                loaded.family,
                loaded.tasks,
                config.formats,
                sandbox=sandbox,
                mode=mode,
                tools=tools,
            )
            for loaded in sets
        }
        return reports, walked
