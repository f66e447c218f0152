"""Turns a configuration into the episodes that it asks for: reads task files, spends nothing."""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from codeact.datasets import Family, get, load_tasks, preparing
from codeact.episode.machine import Episode
from codeact.episode.messages import as_text
from codeact.episode.prompts import PromptStrategy
from codeact.episode.task import Task
from codeact.exceptions import ConfigError, TaskFileError
from codeact.experiment.config.schema import GradedSettings, RunConfig
from codeact.experiment.config.tasks import Missing, TaskSet, TaskSettings
from codeact.experiment.continuing import Continuing, continued
from codeact.experiment.driver import Assignment
from codeact.experiment.strategies import refuse_unfit, run_strategy
from codeact.experiment.toolboxes import toolbox_of
from codeact.graders.base import Grader
from codeact.models.base import EpisodeKey
from codeact.recordings.run_folder import EpisodeIdentity, RunFolder
from codeact.resources import resolve_path, seed_of
from codeact.tools import ToolBox
from codeact.tools.settings import files_of

_SAMPLE = "pkg://codeact.sample/tasks"


class LoadedSet(NamedTuple):
    """A task file as read: `name` is what records carry.

    `notice` says what the user should know of the file; empty for nothing.
    """

    name: str
    family: Family
    grader: Grader
    tasks: list[Task]
    notice: str = ""


class Plan(NamedTuple):
    """All episodes of a run, in the order in which they are played."""

    config: RunConfig
    assignments: list[Assignment]
    tools: ToolBox
    files: list[Path]
    strategy: PromptStrategy
    notices: tuple[str, ...] = ()
    """What the user should know of what is played and what is not."""

    @property
    def tool_names(self) -> set[str]:
        """The tools that any task asks for."""
        return {name for assignment in self.assignments for name in assignment.task.tools}

    @property
    def keys(self) -> list[EpisodeKey]:
        """The keys by which recorded models find the episodes."""
        return [assignment.key for assignment in self.assignments]

    def owed(self, folder: RunFolder) -> list[Assignment]:
        """Return the episodes that the folder lacks."""
        return [
            assignment
            for assignment in self.assignments
            if EpisodeIdentity(assignment.task.digest, folder.digest, assignment.sample)
            not in folder.finished
        ]

    def first_prompt(self) -> str:
        """Return the opening messages of the first episode, as the policy will read them."""
        first = self.assignments[0]
        episode = Episode(
            first.task,
            first.family.task_type,
            self.config.episode,
            self.strategy,
            tools=self.tools.specs(first.task),
            opening=first.prefix.opening if first.prefix else None,
        )
        return "\n".join(as_text(message) for message in episode.opening)


def load_sets(config: GradedSettings) -> list[LoadedSet]:
    """Load every task set of the configuration; raises `TaskFileError` or `ConfigError`."""
    loaded = []
    for name, chosen in config.task.sets.items():
        family = get(chosen.family)
        refuse_missing(config.data, name, chosen)
        tasks = load_tasks(family, chosen.path)
        notice = _unlike_published(name, chosen, len(tasks))
        tasks = _narrow(name, chosen, tasks)[: config.limit]
        if name != family.name:
            tasks = [msgspec.structs.replace(task, name=name) for task in tasks]
        grader = family.grader(config.grading.mode)
        loaded.append(LoadedSet(name, family, grader, tasks, notice))
    shares = even_shares([len(one.tasks) for one in loaded], config.total_limit)
    return [
        one._replace(tasks=one.tasks[:share]) for one, share in zip(loaded, shares, strict=True)
    ]


def even_shares(sizes: Sequence[int], total: int | None) -> list[int]:
    """Return how many of each size to take, `total` in all: one of each in turn."""
    if total is None or sum(sizes) <= total:
        return list(sizes)
    level = 0
    while sum(min(size, level + 1) for size in sizes) <= total:
        level += 1
    left = total - sum(min(size, level) for size in sizes)
    shares = []
    for size in sizes:
        one_more = size > level and left > 0
        shares.append(min(size, level) + one_more)
        left -= one_more
    return shares


class TasksThere(NamedTuple):
    """The data sets whose files are there, and a notice for each that was skipped."""

    task: TaskSettings
    notices: list[str]


def tasks_there(task: TaskSettings, missing: Missing) -> TasksThere:
    """Take out the data sets without a file if `missing` is ``skip``.

    Raises `TaskFileError` where none is left.
    """
    absent = {
        name: chosen
        for name, chosen in task.sets.items()
        if seed_of(chosen.path) is None and not resolve_path(chosen.path).exists()
    }
    if missing == "refuse" or not absent:
        return TasksThere(task, [])
    there = {name: chosen for name, chosen in task.sets.items() if name not in absent}
    if not there:
        paths = ", ".join(chosen.path for chosen in absent.values())
        raise TaskFileError(f"missing=skip leaves no data set: none of {paths} is there")
    notices = [
        f"skipped the data set {name}: {chosen.path} is not there"
        for name, chosen in absent.items()
    ]
    return TasksThere(TaskSettings(sets=there), notices)


def _unlike_published(name: str, chosen: TaskSet, count: int) -> str:
    if chosen.published in (None, count):
        return ""
    return (
        f"{name}: {chosen.path} has {count:,} tasks; "
        f"the published collection had {chosen.published:,}"
    )


def refuse_missing(data: str, name: str, chosen: TaskSet) -> None:
    """Raise `TaskFileError` where a set's file is missing, with ways to get it."""
    if seed_of(chosen.path) is not None:
        return
    path = resolve_path(chosen.path)
    if path.exists():
        return
    ways = [f"check task.sets.{name}.path"]
    if path.parent == Path(data).expanduser():
        ways = [f"check data={data}"]
        if preparer := preparing.name_for(chosen.family):
            ways += [f"make it of the raw data by codeact prepare task={preparer} out={data}"]
        if resolve_path(f"{_SAMPLE}/{path.name}").exists():
            ways += [
                f"take the sample: data=codeact/sample/tasks in a checkout, else data={_SAMPLE}"
            ]
    ways += [f"do without {name} and whatever else is missing by missing=skip"]
    raise TaskFileError(f"{path} is not there; {', or '.join(ways)}")


def make_plan(config: RunConfig) -> Plan:
    """Read the task files and lay out the episodes, sample by sample within each task."""
    sets = load_sets(config)
    assignments = [
        Assignment(task, loaded.family, loaded.grader, sample, _seed(config.seed, sample))
        for loaded in sets
        for task in loaded.tasks
        for sample in range(config.samples)
    ]
    paths = [chosen.path for chosen in config.task.sets.values()]
    files = [resolve_path(path) for path in paths if seed_of(path) is None]
    files += files_of(config.search)
    tools = toolbox_of(config, config.search)
    strategy = run_strategy(config, (assignment.task for assignment in assignments))
    notices = [loaded.notice for loaded in sets if loaded.notice]
    tools.require({name for assignment in assignments for name in assignment.task.tools})
    refuse_unfit(config, strategy, (tools.specs(one.task) for one in assignments))
    if config.continue_ is not None:
        source = Continuing(
            config.continue_, config.turn, config.episode, config.prompt.strategy, tools
        )
        found = source.continuations(assignments)
        assignments = list(continued(assignments, found, config.seed))
        notices += found.notices
    if config.shuffle:
        random.Random(config.seed).shuffle(assignments)  # noqa: S311 (an order, no secret)
    plan = Plan(config, assignments, tools, files, strategy, tuple(notices))
    if not config.turns.use_tools:
        for task in (assignment.task for assignment in assignments):
            if tools.has_world(task):
                raise ConfigError(
                    f"turns.use_tools=false leaves nothing to do in {task.key}: it is solved by "
                    "its tools, and not by an answer"
                )
    return plan


def _seed(seed: int | None, sample: int) -> int | None:
    return None if seed is None else seed + sample


def _narrow(name: str, chosen: TaskSet, tasks: list[Task]) -> list[Task]:
    if chosen.ids is not None:
        by_id = {task.id: task for task in tasks}
        missing = [wanted for wanted in chosen.ids if wanted not in by_id]
        if missing:
            raise ConfigError(
                f"task.sets.{name}.ids: {chosen.path} has no task {', '.join(missing)}"
            )
        tasks = [by_id[wanted] for wanted in chosen.ids]
    return tasks[: chosen.limit]
