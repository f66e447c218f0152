"""``codeact collect recipe=NAME out=DIR``: from models and tasks to training conversations.

Weaker models play every task, and the strong model plays those that none of them solved. Then
conversations are selected from both and their tokens are counted. A stage is skipped while its
inputs are unchanged, and the same command resumes a stopped run. ``report.json`` has what every
stage did and cost; ``dry_run=true`` estimates the costs and stops.
"""

import glob
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from codeact import __version__
from codeact.collection.conversations import REPORT
from codeact.collection.pipeline import HARD, select, sort_into_tiers
from codeact.collection.recipe import (
    CollectConfig,
    Estimate,
    StageRecord,
    Stages,
    estimate,
    write_json,
)
from codeact.collection.scan import renaming
from codeact.collection.settings import SelectConfig, SelectionSettings, TiersConfig
from codeact.collection.tokens import StatsConfig, statistics
from codeact.commands.arguments import Arguments, configuration, is_override, parse
from codeact.commands.help import tell_if_asked
from codeact.commands.missing import without_missing
from codeact.commands.run.playing import play_run
from codeact.datasets import get, load_tasks
from codeact.exceptions import ConfigError
from codeact.experiment.config.compose import Invocation, compose_config
from codeact.experiment.config.schema import RunConfig, digest_of
from codeact.experiment.config.tasks import TaskSettings
from codeact.experiment.config.validation import validated
from codeact.experiment.identity import requested_run
from codeact.experiment.overrides import quoted
from codeact.experiment.plan import Plan, load_sets, make_plan
from codeact.experiment.summary import summarize_folder
from codeact.folders import UNFINISHED
from codeact.recordings.files import source_files
from codeact.recordings.run_folder import EPISODES, open_index
from codeact.resources import resolve_path
from codeact.results.collection import show_collection, show_estimates
from codeact.results.terminal import list_problems

_INTERRUPTED = 130
SELECTED = "selected"
_ALL = {"limit": None, "ids": None, "published": None}
"""Of a file of hard tasks, all are played, however many there are."""


class RecipeRuns(NamedTuple):
    """The composed configurations of a recipe; each has a run folder of its own in `out`.

    A weaker model that has played already is the path of its recorded episodes.
    """

    weak: dict[str, RunConfig | str]
    strong: RunConfig

    @property
    def to_play(self) -> dict[str, RunConfig]:
        """The weaker models' runs, without those that are recorded."""
        return {name: one for name, one in self.weak.items() if isinstance(one, RunConfig)}


class StageUnfinished(Exception):
    """A run ended before all of its episodes; the command exits with its status."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


def main(words: list[str]) -> int:
    """Run the command; returns 0 when every stage is done."""
    arguments = parse("collect", words)
    if tell_if_asked("collect", __doc__ or "", arguments, CollectConfig):
        return 0
    config = configuration("collect", arguments, CollectConfig)
    runs = _composed(config, arguments)
    selection = _with_strong(config.selection, runs)
    estimates = _estimates(config, runs)
    show_estimates(estimates, config.recipe.assumed.model_dump())
    if config.dry_run:
        return 0
    with Stages.opened(Path(config.out)) as stages:
        return _collect(_Collection(config, selection, stages), config, runs, estimates)


def _collect(
    collection: "_Collection", config: CollectConfig, runs: RecipeRuns, estimates: list[Estimate]
) -> int:
    try:
        collection.collect(runs)
    except StageUnfinished as stopped:
        return stopped.status
    reports = {name: done.report for name, done in collection.done.items()}
    document = {
        "assumed": config.recipe.assumed.model_dump(),
        "estimates": estimates,
        "stages": reports,
    }
    write_json(Path(config.out) / REPORT, document)
    show_collection(reports, config.out)
    return 0


def _composed(config: CollectConfig, arguments: Arguments) -> RecipeRuns:
    """Compose every run before the first one is played; raises `ConfigError`, `RecordingError`."""
    recipe = config.recipe
    weak: dict[str, RunConfig | str] = {}
    for name, words in recipe.weak.items():
        if isinstance(words, str):
            source = str(resolve_path(words))
            source_files([source])
            weak[name] = source
        else:
            weak[name] = _run_config(config, f"weak-{name}", words, arguments)
    runs = RecipeRuns(weak, _run_config(config, "strong", recipe.strong, arguments))
    *there, strong = without_missing([*runs.to_play.values(), runs.strong])
    runs = RecipeRuns({**weak, **dict(zip(runs.to_play, there, strict=True))}, strong)
    for name, one in runs.to_play.items():
        if _tasks(one) != _tasks(strong):
            raise ConfigError(
                f"recipe.weak.{name} has other tasks than recipe.strong; give data, task, limit "
                "and total_limit in recipe.common"
            )
    return runs


def _tasks(config: RunConfig) -> tuple[object, ...]:
    return (config.data, config.task, config.limit, config.total_limit)


def _run_config(
    config: CollectConfig, stage: str, words: Sequence[str], arguments: Arguments
) -> RunConfig:
    """Compose one run; other settings get another folder, as they are another experiment."""
    overrides = [f"data={config.data}", *config.recipe.common, *words, "run_dir=x"]
    for word in overrides:
        if not is_override(word):
            raise ConfigError(f"recipe: {word!r} (of {stage}) is no override; write KEY=VALUE")
    invocation = Invocation("run", tuple(map(quoted, overrides)), arguments.config_dir)
    composed = validated(RunConfig, compose_config(invocation))
    folder = Path(config.out) / "runs" / f"{stage}-{composed.digest[:8]}"
    return composed.model_copy(update={"run_dir": str(folder), "dry_run": False})


def _with_strong(selection: SelectionSettings, runs: RecipeRuns) -> SelectionSettings:
    """Return the preset with the recipe's strong model."""
    rename = renaming(selection)
    strong = rename(runs.strong.model.name)
    for name, one in runs.to_play.items():
        if rename(one.model.name) == strong:
            raise ConfigError(
                f"recipe.weak.{name} and recipe.strong are both called {strong!r}; give each its "
                "own model.name"
            )
    return selection.model_copy(update={"strong": [glob.escape(strong)]})


def _estimates(config: CollectConfig, runs: RecipeRuns) -> list[Estimate]:
    """Estimate whole runs; for the strong model as if no task were solved before."""
    found: list[Estimate] = []
    notices: dict[str, None] = {}
    for stage, one in [
        *((f"weak-{name}", one) for name, one in runs.weak.items()),
        ("strong", runs.strong),
    ]:
        if isinstance(one, str):
            found.append(Estimate(stage, 0, 0, 0, 0.0))
            continue
        plan = make_plan(one)
        notices |= dict.fromkeys(plan.notices)
        found.append(estimate(stage, one, len(plan.assignments), config.recipe.assumed))
    for notice in notices:
        sys.stderr.write(f"{notice}\n")
    return found


class _Collection:
    """Runs the stages that are not done, in their order."""

    def __init__(self, config: CollectConfig, selection: SelectionSettings, stages: Stages) -> None:
        self.done: dict[str, StageRecord] = {}
        self._config = config
        self._selection = selection
        self._out = Path(config.out)
        self._stages = stages

    def collect(self, runs: RecipeRuns) -> None:
        """Run all stages; raises `StageUnfinished`, or `ConfigError` if there is nothing to do."""
        weak = {f"weak-{name}": one for name, one in runs.weak.items()}
        played = []
        for stage, one in weak.items():
            if isinstance(one, str):
                self._take_recorded(stage, one)
                played.append(one)
            else:
                self._play_stage(stage, one)
                played.append(one.run_dir)
        self._sort(played, list(weak), runs.strong)
        hard = self._hard(runs)
        if hard is None:
            self.done["strong"] = StageRecord("", {}, {"episodes": 0, "why": "no task is unsolved"})
        else:
            self._play_stage("strong", hard)
            played.append(hard.run_dir)
        self._select(played, [*weak, "strong"])
        self._count()

    def _skipped(self, stage: str, inputs: str) -> bool:
        found = self._stages.done(stage, inputs)
        if found is not None:
            self.done[stage] = found
        else:
            (self._out / REPORT).unlink(missing_ok=True)  # it describes what is about to change
            for left in list(self._out.glob(UNFINISHED)):  # by a session that was killed
                shutil.rmtree(left, ignore_errors=True)
        sys.stderr.write(f"{stage}: {'is done already' if found else 'begins'}\n")
        return found is not None

    def _finish(
        self, stage: str, inputs: str, outputs: Sequence[Path], report: dict[str, Any]
    ) -> None:
        self.done[stage] = self._stages.finish(stage, inputs, outputs, report)

    def _take_recorded(self, stage: str, source: str) -> None:
        """Note which files a weaker model's episodes are in: where they change, the rest does."""
        files = source_files([source])
        inputs = digest_of([__version__, source, [str(path) for path in files]])
        if not self._skipped(stage, inputs):
            self._finish(stage, inputs, files, {"source": source, "files": len(files)})

    def _play_stage(self, stage: str, config: RunConfig) -> None:
        plan = make_plan(config)
        asked = sorted((one.task.digest, one.sample) for one in plan.assignments)
        inputs = digest_of([__version__, config.digest, requested_run(plan, {}).values, asked])
        if self._skipped(stage, inputs):
            return
        status = play_run(plan)
        if status == _INTERRUPTED:
            raise StageUnfinished(status)
        self._enough(stage, plan)
        folder = Path(config.run_dir)
        overall = summarize_folder(folder).overall
        report = {
            "run": folder.name,
            "model": config.model.name,
            "episodes": overall.episodes,
            "counted": overall.counted,
            "successes": overall.successes,
            "turns": overall.turns,
            "prompt": overall.usage.prompt,
            "completion": overall.usage.completion,
            "feedback_tokens": overall.feedback_usage.total,
            "usd": overall.cost,
            "feedback_usd": overall.feedback_cost,
            "spent_tokens": overall.spent.tokens,
            "spent_usd": overall.spent.cost,
        }
        self._finish(stage, inputs, [folder / EPISODES], report)

    def _enough(self, stage: str, plan: Plan) -> None:
        """Refuse to build on a run that lacks too many of its episodes."""
        asked = {(one.task.name, one.task.id, one.sample) for one in plan.assignments}
        counted = _counted(Path(plan.config.run_dir))
        missing = len(asked - counted)
        if missing > self._config.recipe.tolerated_failures * len(asked):
            sys.stderr.write(
                f"codeact collect: {missing} of {len(asked)} episodes of {stage} have no outcome "
                "of the model's own; run the same command to play them, or allow for them with "
                "recipe.tolerated_failures\n"
            )
            raise StageUnfinished(1)

    def _sort(self, played: list[str], before: list[str], strong: RunConfig) -> None:
        config = TiersConfig(
            source=played,
            out=str(self._out / "tiers"),
            selection=self._selection,
            workers=self._config.workers,
            data=strong.data,
            task=strong.task,
        )
        inputs = self._inputs(before, {"task": strong.task.model_dump()})
        if not self._skipped("tiers", inputs):
            report = sort_into_tiers(config)
            list_problems(report.problems, REPORT)
            self._finish("tiers", inputs, _files(Path(config.out)), msgspec.to_builtins(report))

    def _hard(self, runs: RecipeRuns) -> RunConfig | None:
        """Return the strong model's run on unsolved tasks; None if there are none."""
        strong, folder = runs.strong, self._out / "tiers" / HARD
        # Recorded episodes may be of more tasks than the recipe asks for.
        narrowed = len(runs.to_play) < len(runs.weak)
        asked = {one.name: one.tasks for one in load_sets(strong)} if narrowed else {}
        sets = {}
        for name, chosen in strong.task.sets.items():
            path = folder / f"{name}.jsonl"
            if not path.exists():
                continue
            ids = None
            if narrowed:
                wanted = {task.id for task in asked[name]}
                hard = load_tasks(get(chosen.family), path)
                ids = [task.id for task in hard if task.id in wanted]
            if ids != []:
                changed = {**_ALL, "path": str(path), "ids": ids}
                sets[name] = chosen.model_copy(update=changed)
        if not sets:
            return None
        whole = {"limit": None, "total_limit": None}
        return strong.model_copy(update={"task": TaskSettings(sets=sets), **whole})

    def _select(self, played: list[str], before: list[str]) -> None:
        config = SelectConfig(
            source=played,
            out=str(self._out / SELECTED),
            selection=self._selection,
            workers=self._config.workers,
            name=self._config.name,
        )
        inputs = self._inputs(before, {"name": config.name} if config.name else {})
        if not self._skipped("select", inputs):
            report = select(config)
            list_problems(report.problems, REPORT)
            self._finish("select", inputs, _files(Path(config.out)), msgspec.to_builtins(report))

    def _count(self) -> None:
        chosen = self._config.recipe.statistics
        config = StatsConfig(
            source=str(self._out / SELECTED),
            out=str(self._out / "statistics"),
            tokenizer=chosen.tokenizer,
            limit=chosen.limit,
        )
        inputs = self._inputs(["select"], chosen.model_dump())
        if not self._skipped("statistics", inputs):
            found = statistics(config)
            report = {"tokenizer": found.tokenizer, "limit": found.limit, "rows": found.rows}
            self._finish(
                "statistics", inputs, _files(Path(config.out)), msgspec.to_builtins(report)
            )

    def _inputs(self, before: Sequence[str], more: Mapping[str, object]) -> str:
        outputs = [self.done[stage].outputs for stage in before]
        return digest_of([__version__, outputs, self._selection.model_dump(), more])


def _counted(folder: Path) -> set[tuple[str, str, int]]:
    with open_index(folder) as index:
        return set(index.columns(["task_name", "task_id", "sample"], {"counted": True}))


def _files(folder: Path) -> list[Path]:
    """List what a stage wrote; hidden names were left by a killed process."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return [
        path
        for path in found
        if not any(part.startswith(".") for part in path.relative_to(folder).parts)
    ]
