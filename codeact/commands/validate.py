"""``codeact validate task=NAME``: check that references pass their own grader, and attacks do not.

Reads the task files, makes a correct answer from each reference and grades it, without a model.
Tasks without a known answer are counted by the reason, and written one by one to ``out``. Tasks
that bring a walkthrough are also solved by it in every action format that ``formats`` names. Then
answers that solve nothing are tried on every task, in the grading modes of ``attacks``.
"""

import sys
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from typing import NamedTuple

import msgspec
import uvloop

from codeact.commands.arguments import configuration, open_lines, parse
from codeact.commands.help import tell_if_asked
from codeact.commands.missing import without_missing
from codeact.experiment.attacking import AttackReport, attack
from codeact.experiment.config.schema import ValidateConfig
from codeact.experiment.plan import load_sets
from codeact.experiment.resources import Resources
from codeact.experiment.toolboxes import toolbox_of
from codeact.experiment.validate import ValidationReport, validate
from codeact.experiment.walkthroughs import Stuck, Walked, walk
from codeact.results.attacks import show_attacks, write_attacks
from codeact.results.tables import show_validation
from codeact.results.walkthroughs import show_walkthroughs
from codeact.tools.settings import NoSearch


class _Found(NamedTuple):
    references: dict[str, ValidationReport]
    walked: dict[str, list[Walked]]
    attacks: dict[str, list[AttackReport]]

    @property
    def stuck(self) -> list[Stuck]:
        """The walkthroughs that do not solve their tasks."""
        return [one for found in self.walked.values() for format_ in found for one in format_.stuck]


def main(words: list[str]) -> int:
    """Run the command; returns 0 when every reference passes, and no attack the strict mode."""
    arguments = parse("validate", words)
    if tell_if_asked("validate", __doc__ or "", arguments, ValidateConfig):
        return 0
    (config,) = without_missing([configuration("validate", arguments, ValidateConfig)])
    with ExitStack() as stack:
        out = open_lines(config.out, stack)
        found = uvloop.run(_validate(config))
        if out is not None:
            for report in found.references.values():
                listed = (*report.unfit, *report.unknown)
                out.writelines(msgspec.json.encode(one) + b"\n" for one in listed)
            out.writelines(msgspec.json.encode(one) + b"\n" for one in found.stuck)
    files = {name: chosen.path for name, chosen in config.task.sets.items()}
    show_validation(found.references, files)
    show_walkthroughs(found.walked)
    if config.attacks:
        show_attacks(found.attacks, files)
    if config.attacks_out is not None:
        write_attacks(found.attacks, Path(config.attacks_out).expanduser())
    return int(bool(_complain(found)))


def _complain(found: _Found) -> list[str]:
    """Say on standard error what is wrong with tasks or graders."""
    unfit = sum(len(report.unfit) for report in found.references.values())
    attacks = [report for several in found.attacks.values() for report in several]
    forged = sum(len(report.forged) for report in attacks if report.mode == "strict")
    open_ended = sum(len(report.unjudged) for report in attacks)
    said = []
    if unfit:
        said.append(f"{unfit} references fail their own grader.\n")
    if found.stuck:
        said.append(f"{len(found.stuck)} walkthroughs do not solve their tasks.\n")
    if forged:
        said.append(f"{forged} attacks pass a strict grader.\n")
    if open_ended:
        said.append(f"{open_ended} attacks leave a grader without a verdict.\n")
    sys.stderr.writelines(said)
    return said


async def _validate(config: ValidateConfig) -> _Found:
    sets = load_sets(config)
    for notice in filter(None, (loaded.notice for loaded in sets)):
        sys.stderr.write(f"{notice}\n")
    wanted = {name for loaded in sets for task in loaded.tasks for name in task.tools}
    mode = config.grading.mode
    async with Resources() as resources, AsyncExitStack() as stack:
        tools = {}
        for each in {mode, *config.attacks}:
            grading = config.grading.model_copy(update={"mode": each})
            tools[each] = toolbox_of(config.model_copy(update={"grading": grading}), NoSearch())
            tools[each].require(wanted)
            stack.push_async_callback(tools[each].close)
        sandbox = await resources.sandbox(config.executor)
        found = _Found({}, {}, {})
        for name, family, _, tasks, _ in sets:
            found.references[name] = await validate(family, tasks, sandbox, mode, tools[mode])
            found.walked[name] = await walk(
                family, tasks, config.formats, sandbox=sandbox, mode=mode, tools=tools[mode]
            )
            found.attacks[name] = [
                await attack(family, tasks, sandbox, each, tools[each])
                for each in config.attacks
                if each in family.graders
            ]
        return found
