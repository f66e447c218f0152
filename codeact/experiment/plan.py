"""Turns a configuration into the episodes that it asks for: reads task files, spends nothing."""

import random
from pathlib import Path
from typing import NamedTuple

import msgspec

from codeact.datasets import Family, get, load_tasks, preparing
from codeact.episode.machine import Episode
from codeact.episode.task import Task
from codeact.exceptions import ConfigError, TaskFileError
from codeact.experiment.config.schema import GradedSettings, RunConfig, TaskSet
from codeact.experiment.continuing import Continuing, continued
from codeact.experiment.driver import Assignment
from codeact.experiment.strategies import strategy
from codeact.graders.base import Grader
from codeact.models.base import EpisodeKey
from codeact.recordings.run_folder import EpisodeIdentity, RunFolder
from codeact.resources import resolve_path
from codeact.tools import ToolBox, open_toolbox
from codeact.tools.settings import files_of

_SAMPLE = "pkg://codeact.sample/tasks"


class LoadedSet(NamedTuple):
    """A task file as read: `name` is what records carry."""

    name: str
    family: Family
    grader: Grader
    tasks: list[Task]


class Plan(NamedTuple):
    """All episodes of a run, in the order in which they are played."""

    config: RunConfig
    assignments: list[Assignment]
    tools: ToolBox
    files: list[Path]
    notices: tuple[str, ...] = ()
    """What the user should know of what is played and what is not."""

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
        """Return the first message of the first episode, as the policy will read it."""
        first = self.assignments[0]
        episode = Episode(
            first.task,
            first.family.task_type,
            self.config.episode,
            strategy(self.config.prompt.strategy),
            tools=self.tools.specs(first.task),
            first_message=first.prefix.first_message if first.prefix else None,
        )
        return episode.messages[0]["content"]


def load_sets(config: GradedSettings) -> list[LoadedSet]:
    """Load every task set of the configuration; raises `TaskFileError` or `ConfigError`."""
    loaded = []
    for name, chosen in config.task.sets.items():
        family = get(chosen.family)
        refuse_missing(config.data, name, chosen)
        tasks = load_tasks(family, resolve_path(chosen.path))
        tasks = _narrow(name, chosen, tasks)[: config.limit]
        if name != family.name:
            tasks = [msgspec.structs.replace(task, name=name) for task in tasks]
        loaded.append(LoadedSet(name, family, family.grader(config.grading.mode), tasks))
    return loaded


def refuse_missing(data: str, name: str, chosen: TaskSet) -> None:
    """Raise `TaskFileError` where a set's file is missing, with ways to get it."""
    path = resolve_path(chosen.path)
    if path.exists():
        return
    ways = [f"check task.sets.{name}.path"]
    if path.parent == Path(data).expanduser():
        ways = [f"check data={data}"]
        if chosen.family in preparing.names():
            ways += [f"make it of the raw data by codeact prepare task={chosen.family} out={data}"]
        if resolve_path(f"{_SAMPLE}/{path.name}").exists():
            ways += [
                f"take the sample: data=codeact/sample/tasks in a checkout, else data={_SAMPLE}"
            ]
    raise TaskFileError(f"{path} is not there; {', or '.join(ways)}")


def make_plan(config: RunConfig) -> Plan:
    """Read the task files and lay out the episodes, sample by sample within each task."""
    assignments = [
        Assignment(task, loaded.family, loaded.grader, sample, _seed(config.seed, sample))
        for loaded in load_sets(config)
        for task in loaded.tasks
        for sample in range(config.samples)
    ]
    files = [resolve_path(chosen.path) for chosen in config.task.sets.values()]
    tools = open_toolbox(config.search)
    tools.require(sorted({name for assignment in assignments for name in assignment.task.tools}))
    notices: tuple[str, ...] = ()
    if config.continue_ is not None:
        source = Continuing(
            config.continue_, config.turn, config.episode, config.prompt.strategy, tools
        )
        found = source.continuations(assignments)
        assignments = list(continued(assignments, found, config.seed))
        notices = tuple(found.notices)
    if config.shuffle:
        random.Random(config.seed).shuffle(assignments)  # noqa: S311 (an order, no secret)
    return Plan(config, assignments, tools, files + files_of(config.search), notices)


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
