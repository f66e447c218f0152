"""What ``codeact run`` does with its configurations: plays them, records them, shows the table."""

import asyncio
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import uvloop

from codeact.commands.missing import without_missing
from codeact.exceptions import CodeactError, RunFolderError
from codeact.experiment.budget import Account
from codeact.experiment.compute import open_backend
from codeact.experiment.compute.base import ComputeBackend
from codeact.experiment.config.compose import to_yaml
from codeact.experiment.config.schema import RunConfig
from codeact.experiment.events import Job, Listeners
from codeact.experiment.failures import FAILURES, to_lines
from codeact.experiment.identity import requested_run
from codeact.experiment.plan import Plan, make_plan
from codeact.experiment.reasoning_watch import ReasoningWatch
from codeact.experiment.resources import Resources
from codeact.experiment.runner import Runner, RunnerResult
from codeact.experiment.summary import Summary, summarize_folder
from codeact.experiment.sweep import sweep_runs
from codeact.experiment.sweep_report import SWEEP_CSV, SweepRow, write_sweep
from codeact.files import private_folder
from codeact.models.person.terminal import terminal
from codeact.recordings.provenance import provenance
from codeact.recordings.run_folder import CONFIG, SUMMARY, RunFolder
from codeact.results.exact_tokens import show_tokens
from codeact.results.live.numbers import RunExtent
from codeact.results.progress import make_progress
from codeact.results.tables import show_failures, show_run, show_sweep
from codeact.results.trackers import expected_trackers, trackers
from codeact.results.values import show_values, values_of, write_values


class PlannedRun(NamedTuple):
    """A planned run, named by the overrides that set it apart from others of its sweep."""

    name: str
    plan: Plan
    sweep: str | None = None
    overrides: tuple[str, ...] = ()

    @property
    def path(self) -> Path:
        return Path(self.plan.config.run_dir)


class RunResults(NamedTuple):
    """How the queue ended, with each run's summary by the run's name.

    `errors` are those of runs that ended early, or could not be resumed.
    """

    stopped: RunnerResult
    summaries: dict[str, Summary]
    errors: dict[str, CodeactError]


def play_all(composed: list[tuple[tuple[str, ...], RunConfig]], *, sweep: bool) -> int:
    """Play the jobs of a command, or describe them for ``dry_run``; returns the exit status."""
    jobs = _planned_runs(composed, sweep=sweep)
    for notice in dict.fromkeys(line for job in jobs for line in job.plan.notices):
        _notice(notice)
    if jobs[0].plan.config.dry_run:
        for job in jobs:
            sys.stdout.write(_describe(job))
        return 0
    return uvloop.run(_run(jobs))


def play_run(plan: Plan) -> int:
    """Play or resume one run as the command does; returns its exit status."""
    return uvloop.run(_run([PlannedRun("run", plan)]))


async def play_quietly(config: RunConfig) -> RunResults:
    """Play or resume one run, and print no table; notices go to standard error."""
    (job,) = _planned_runs([((), config)], sweep=False)
    for notice in job.plan.notices:
        _notice(notice)
    with expected_trackers([job.plan.config]):
        return await _play([job])


def _planned_runs(
    composed: list[tuple[tuple[str, ...], RunConfig]], *, sweep: bool
) -> list[PlannedRun]:
    """Plan every run; those of a sweep have folders side by side in ``run_dir``."""
    configs = without_missing([config for _, config in composed])
    composed = [(words, one) for (words, _), one in zip(composed, configs, strict=True)]
    if not sweep:
        return [PlannedRun("run", make_plan(config)) for _, config in composed]
    parent = Path(composed[0][1].run_dir)
    return [
        PlannedRun(
            run.name,
            make_plan(config.model_copy(update={"run_dir": str(run.path)})),
            str(parent),
            overrides,
        )
        for run, (overrides, config) in zip(sweep_runs(parent, composed), composed, strict=True)
    ]


def _describe(job: PlannedRun) -> str:
    plan = job.plan
    notices = "".join(f"{notice}\n" for notice in plan.notices)
    return (
        f"{to_yaml(plan.config.model_dump())}\n"
        f"episodes: {len(plan.assignments)}\n"
        f"{notices}\n"
        f"first prompt, of {plan.assignments[0].task.key}:\n\n{plan.first_prompt()}\n"
    )


async def _run(jobs: list[PlannedRun]) -> int:
    with expected_trackers(job.plan.config for job in jobs):
        results = await _play(jobs)
    return _report(jobs, results)


async def _play(jobs: list[PlannedRun]) -> RunResults:
    plans = {job.name: job.plan for job in jobs}
    accounts = {name: Account(plan.config.budget) for name, plan in plans.items()}
    async with (
        _provenances(plans) as provenances,
        Resources(_notice) as resources,
        open_backend(plans, accounts, resources) as backend,
    ):
        folders: dict[str, RunFolder] = {}
        errors: dict[str, CodeactError] = {}
        try:
            for job in jobs:
                try:
                    folders[job.name] = _open(job, backend, await provenances[job.name])
                except CodeactError as error:
                    errors[job.name] = error
            if not folders:
                raise next(iter(errors.values()))
            opened = [job for job in jobs if job.name in folders]
            prepared = [
                Job(j.name, j.plan.config, folders[j.name], j.plan.owed(folders[j.name]), j.sweep)
                for j in opened
            ]
            for name, folder in folders.items():
                accounts[name].go_on(folder)
            results = await _play_jobs(opened, prepared, backend, accounts)
        finally:
            for folder in folders.values():
                folder.close()
    return results._replace(errors={**errors, **results.errors})


@asynccontextmanager
async def _provenances(
    plans: Mapping[str, Plan],
) -> AsyncIterator[dict[str, asyncio.Task[dict[str, Any]]]]:
    """Find out where the runs come from, in threads, while sandboxes and models start."""
    tasks = {
        name: asyncio.create_task(asyncio.to_thread(provenance, plan.files, {}))
        for name, plan in plans.items()
    }
    try:
        yield tasks
    finally:
        await asyncio.gather(*tasks.values(), return_exceptions=True)


def _notice(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def _open(job: PlannedRun, backend: ComputeBackend, came_from: dict[str, Any]) -> RunFolder:
    config, facts = job.plan.config, backend.facts.get(job.name, {})
    if job.sweep is not None:
        private_folder(Path(job.sweep))
    folder = RunFolder.open(job.path, requested_run(job.plan, facts))
    try:
        folder.begin_run_session({**came_from, "sandbox": facts})
        folder.write_text(CONFIG, to_yaml(config.model_dump()))
    except BaseException:
        folder.close()
        raise
    return folder


async def _play_jobs(
    jobs: list[PlannedRun],
    prepared: list[Job],
    backend: ComputeBackend,
    accounts: dict[str, Account],
) -> RunResults:
    runs = {
        job.name: RunExtent(total := len(job.plan.assignments), total - len(one.owed))
        for job, one in zip(jobs, prepared, strict=True)
    }
    total, done = (sum(counts) for counts in zip(*runs.values(), strict=True))
    config = jobs[0].plan.config
    concurrency = max(job.plan.config.compute.concurrency for job in jobs)
    person = terminal() if any(job.plan.config.person for job in jobs) else None
    with make_progress(runs, config.progress_seconds, live=person is None) as progress:
        watch = ReasoningWatch(progress.notice)
        listeners = Listeners([progress, watch, *trackers(prepared, progress.notice)])
        if done:
            listeners.notice(f"{done} of {total} episodes are there already; playing the rest.")
        for job in prepared:
            for notice in job.folder.notices:
                listeners.notice(notice)
            listeners.run_started(job)
        runner = Runner(
            prepared,
            backend,
            concurrency,
            listeners,
            accounts=accounts,
            full_disk_seconds=config.full_disk_seconds,
            on_interrupt=person.leave if person else lambda: None,
        )
        try:
            stopped = await runner.run()
            results = RunResults(stopped, {}, dict(stopped.errors))
            for one in prepared:
                try:
                    _finish(one, accounts[one.name], results, listeners)
                except CodeactError as error:
                    results.errors.setdefault(one.name, error)
        finally:
            listeners.close()
    return results


def _finish(job: Job, account: Account, results: RunResults, listeners: Listeners) -> None:
    """Summarize a run; raises `RunFolderError`, which concerns that run alone."""
    summary = results.summaries[job.name] = summarize_folder(job.folder.path)
    summary.accounts.compare(account.spent, job.folder.unlisted)
    _list_failures(job, summary, listeners)
    if job.name not in results.errors:
        job.folder.write_text(SUMMARY, summary.to_json())
        listeners.run_finished(job, summary)


def _list_failures(job: Job, summary: Summary, listeners: Listeners) -> None:
    """Write every failure of a run to its folder; replaces the list of an earlier session."""
    try:
        if summary.failures:
            job.folder.write_text(FAILURES, to_lines(summary.failures))
        else:
            (job.folder.path / FAILURES).unlink(missing_ok=True)
    except (OSError, CodeactError) as error:
        listeners.notice(f"{job.folder.path / FAILURES}: cannot be written: {error}")


def _report(jobs: list[PlannedRun], results: RunResults) -> int:
    """Print the table, and return the exit status."""
    stopped, summaries, errors = results
    if jobs[0].sweep is None:
        for job in jobs:
            if job.name in summaries:
                show_run(str(job.path), summaries[job.name])
    else:
        _report_sweep(Path(jobs[0].sweep), jobs, results)
    _report_values(jobs, summaries)
    show_tokens(summaries)
    files = {job.name: str(job.path / FAILURES) for job in jobs if job.name in summaries}
    failed = show_failures(summaries, files)
    for job in jobs:
        sys.stdout.write(f"run folder: {job.path}\n")
    if errors and len(jobs) == 1:
        raise errors[jobs[0].name]
    for name, error in errors.items():
        sys.stderr.write(f"ended early: {name}: {error}\n")
    for why in stopped.hopeless:
        sys.stderr.write(f"codeact run: {why}\n")
    if stopped.left:
        sys.stderr.write(f"{stopped.left} episodes are left; run the same command to play them.\n")
    if stopped.interrupted:
        return 130
    if _is_ended_by_person(jobs, results):
        return 0
    return int(failed or bool(errors) or bool(stopped.left))


def _is_ended_by_person(jobs: list[PlannedRun], results: RunResults) -> bool:
    """Whether all that is missing is what the person who played, or was the user, left undone."""
    causes = {one.cause for summary in results.summaries.values() for one in summary.failures}
    parts = {job.plan.config.person for job in jobs}
    return causes == {"user"} and not results.errors and parts <= {"policy", "user"}


def _report_values(jobs: list[PlannedRun], summaries: dict[str, Summary]) -> None:
    """Print what the turns were worth from which recorded episodes were continued."""
    values = []
    for job in jobs:
        if job.plan.config.continue_ is not None and job.name in summaries:
            found = values_of(job.path)
            write_values(job.path, found)
            values += found
    if values:
        show_values(values)


def _report_sweep(folder: Path, jobs: list[PlannedRun], results: RunResults) -> None:
    """Print one table, and write it with all numbers to the sweep's folder."""
    rows = [
        SweepRow(
            job.name,
            job.path,
            job.overrides,
            len(job.plan.assignments),
            results.summaries.get(job.name),
            str(results.errors.get(job.name, "")),
        )
        for job in jobs
    ]
    show_sweep(rows)
    try:
        write_sweep(folder, rows)
        sys.stdout.write(f"all numbers: {folder / SWEEP_CSV}\n")
    except RunFolderError as error:
        sys.stderr.write(f"{error}\n")
