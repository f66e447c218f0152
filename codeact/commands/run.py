"""``codeact run``: play episodes of a policy on tasks, in a sandbox, and record them.

Every job of a sweep is played by this one process over one queue of episodes. A run folder that
exists is resumed: only the episodes that it lacks are played.
"""

import sys
from pathlib import Path
from typing import NamedTuple

import uvloop

from codeact.commands.arguments import configurations, parse, show_help
from codeact.edge.sandboxes.start import facts_of
from codeact.experiment.compose import to_yaml
from codeact.experiment.config import RunConfig
from codeact.experiment.driver import Environment, Identity
from codeact.experiment.plan import Plan, make_plan
from codeact.experiment.provenance import provenance
from codeact.experiment.resources import Resources
from codeact.experiment.runner import Job, Runner, Stopped
from codeact.experiment.store import CONFIG, SUMMARY, RunFolder, write_whole
from codeact.experiment.strategies import strategy
from codeact.experiment.summary import summarize_folder
from codeact.results.progress import make_progress
from codeact.results.tables import show_failures, show_run, show_sweep


class Named(NamedTuple):
    """A job of the sweep, by the overrides that set it apart."""

    name: str
    plan: Plan

    @property
    def path(self) -> Path:
        return Path(self.plan.config.run_dir)


def main(words: list[str]) -> int:
    """The command; 0 when every episode has an outcome of the policy's own."""
    arguments = parse("run", words, sweeps=True)
    if arguments.help:
        show_help("run", __doc__ or "", arguments)
        return 0
    composed = configurations("run", arguments, RunConfig)
    jobs = _named(composed, sweep=arguments.multirun)
    if jobs[0].plan.config.dry_run:
        for job in jobs:
            sys.stdout.write(_describe(job))
        return 0
    return uvloop.run(_run(jobs))


def _named(composed: list[tuple[tuple[str, ...], RunConfig]], *, sweep: bool) -> list[Named]:
    """Jobs with a folder each; those of a sweep lie side by side in ``run_dir``."""
    if not sweep:
        return [Named("run", make_plan(config)) for _, config in composed]
    parent = Path(composed[0][1].run_dir)
    named = []
    varying = _varying([overrides for overrides, _ in composed])
    for (_, config), chosen in zip(composed, varying, strict=True):
        name = ",".join(chosen) or "run"
        folder = str(parent / name.replace("/", "_"))
        named.append(Named(name, make_plan(config.model_copy(update={"run_dir": folder}))))
    return named


def _varying(jobs: list[tuple[str, ...]]) -> list[list[str]]:
    """Of each job's overrides, those that are not the same in all jobs."""
    common = set(jobs[0]).intersection(*jobs[1:]) if len(jobs) > 1 else set()
    return [[word for word in job if word not in common] for job in jobs]


def _describe(job: Named) -> str:
    plan = job.plan
    return (
        f"{to_yaml(plan.config.model_dump())}\n"
        f"episodes: {len(plan.assignments)}\n\n"
        f"first prompt, of {plan.assignments[0].task.key}:\n\n{plan.first_prompt()}\n"
    )


async def _run(jobs: list[Named]) -> int:
    async with Resources() as resources:
        environments = [await _environment(job.plan, resources) for job in jobs]
        folders: list[RunFolder] = []
        try:
            for job, environment in zip(jobs, environments, strict=True):
                folders.append(_open(job, environment))
            prepared = [
                Job(job.name, folder, environment, job.plan.owed(folder))
                for job, folder, environment in zip(jobs, folders, environments, strict=True)
            ]
            stopped = await _play(jobs, prepared)
        finally:
            for folder in folders:
                folder.close()
    return _report(jobs, stopped)


async def _environment(plan: Plan, resources: Resources) -> Environment:
    config = plan.config
    keys = [assignment.key for assignment in plan.assignments]
    critic = None
    if config.feedback.kind != "none" and config.feedback.model is not None:
        critic = await resources.client(config.feedback.model, keys, "feedback")
    return Environment(
        identity=Identity(config.model.name, config.feedback.label, config.digest),
        settings=config.episode,
        strategy=strategy(config.prompt.strategy),
        policy=await resources.client(config.model, keys),
        critic=critic,
        sandbox=await resources.sandbox(config.executor),
        tools=plan.tools,
    )


def _open(job: Named, environment: Environment) -> RunFolder:
    config = job.plan.config
    folder = RunFolder.open(job.path, config.digest)
    try:
        folder.add_provenance(provenance(job.plan.files, facts_of(environment.sandbox)))
        folder.write_text(CONFIG, to_yaml(config.model_dump()))
    except BaseException:
        folder.close()
        raise
    return folder


async def _play(jobs: list[Named], prepared: list[Job]) -> Stopped:
    total = sum(len(job.plan.assignments) for job in jobs)
    done = total - sum(len(job.owed) for job in prepared)
    seconds = jobs[0].plan.config.progress_seconds
    concurrency = max(job.plan.config.compute.concurrency for job in jobs)
    with make_progress(total, done, seconds) as progress:
        if done:
            progress.notice(f"{done} of {total} episodes are there already; playing the rest.")
        return await Runner(prepared, concurrency, progress).run()


def _report(jobs: list[Named], stopped: Stopped) -> int:
    """Write each summary, show the tables, and decide the exit status."""
    summaries = {job.name: summarize_folder(job.path) for job in jobs}
    for job in jobs:
        if stopped.error is None:
            write_whole(job.path / SUMMARY, summaries[job.name].to_json())
    for job in jobs:
        show_run(job.name if len(jobs) > 1 else str(job.path), summaries[job.name])
    if len(jobs) > 1:
        show_sweep(summaries)
    failed = show_failures(summaries)
    for job in jobs:
        sys.stdout.write(f"run folder: {job.path}\n")
    if stopped.error is not None:
        raise stopped.error
    if stopped.left:
        sys.stderr.write(f"{stopped.left} episodes are left; run the same command to play them.\n")
    return 130 if stopped.interrupted else int(failed or bool(stopped.left))
