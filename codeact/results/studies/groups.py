"""Sorts runs into groups that differ only in what is under study, and compares each group."""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence

from codeact import __version__
from codeact.exceptions import ConfigError
from codeact.experiment.config.prompts import DIRECT_PROMPT
from codeact.results.comparison.compare import compare_runs
from codeact.results.comparison.runs import PlayedRun
from codeact.results.comparison.settings import CompareConfig
from codeact.results.studies.conduct import format_report
from codeact.results.studies.model import StudyGroup, StudyReport
from codeact.results.studies.settings import Over, StudyConfig, StudySettings

_TURNS = re.compile(r"max\d+_p\d+")
_READS = frozenset({"formats", "failures"})
"""Tables for which the episodes are read whole."""
_NOT_DIRECT = ("turns", "executor", "tools", "search")
"""Groups of settings that ``prompt=direct`` has no use for."""
Settings = frozenset[tuple[str, str]]


def option_of(run: PlayedRun, over: Over) -> str:
    """Return which option of what is under study a run was played with."""
    if over == "turns":
        found = _TURNS.match(run.limit_name)
        return found[0] if found else run.limit_name
    if over == "prompt":
        return str(run.definition.get("prompt.strategy", "code"))
    return str(run.feedback if over == "feedback" else run.model)


def report_study(config: StudyConfig, runs: Sequence[PlayedRun]) -> StudyReport:
    """Compare the runs of a study with its baseline, group by group.

    Raises `ConfigError` where two runs of a group have one option, or none has the baseline's.
    """
    study = config.study
    groups = _alike(runs, study.over)
    names = _names(groups, study.over)
    reports, notes = [], []
    for name, members in zip(names, groups, strict=True):
        ordered = _ordered(members, study)
        if (first := ordered[0].name) != study.baseline and len(ordered) > 1:
            notes.append(f"{name}: has no run with {study.baseline}; compared with {first}")
        reports.append(_group(name, ordered, config))
    if all(len(group.comparison.runs) < 2 for group in reports):
        raise ConfigError(
            f"no two of these runs differ in {study.over} alone: a study compares runs that do"
        )
    if alone := sum(len(group.comparison.runs) < 2 for group in reports):
        notes.append(f"{alone} of the runs differ from no other in {study.over} alone")
    return StudyReport(
        codeact=__version__,
        title=study.title,
        question=study.question,
        over=study.over,
        baseline=study.baseline,
        groups=reports,
        notes=notes,
    )


def _group(name: str, runs: list[PlayedRun], config: StudyConfig) -> StudyGroup:
    chosen = CompareConfig(
        cluster=config.cluster,
        margin=config.margin,
        study=[config.study.over],
        accept=config.accept,
    )
    read = _READS.intersection(config.study.tables)
    return StudyGroup(
        name=name,
        comparison=compare_runs(runs, chosen),
        formats={run.name: format_report(run) for run in runs} if read else {},
    )


def _alike(runs: Sequence[PlayedRun], over: Over) -> list[list[PlayedRun]]:
    """Return groups of runs that have all else in common.

    A run with ``prompt=direct`` has one turn and no sandbox whatever the others have, so that it
    belongs to every group whose other settings are its own.
    """
    direct = [run for run in runs if over == "prompt" and option_of(run, over) == DIRECT_PROMPT]
    groups: dict[Settings, list[PlayedRun]] = defaultdict(list)
    for run in runs:
        if run not in direct:
            groups[_all_else(run, {over})].append(run)
    for run in direct:
        own = _all_else(run, {over, *_NOT_DIRECT})
        fits = [one for one in groups.values() if _all_else(one[0], {over, *_NOT_DIRECT}) == own]
        for group in fits or [groups[_all_else(run, {over})]]:
            group.append(run)
    return list(groups.values())


def _all_else(run: PlayedRun, left_out: set[str]) -> Settings:
    """Return a run's settings without those groups."""
    return frozenset(
        (key, repr(value))
        for key, value in run.definition.items()
        if key.partition(".")[0] not in left_out
    )


def _ordered(members: list[PlayedRun], study: StudySettings) -> list[PlayedRun]:
    """Return a group's runs, named by their options: the baseline, then the study's order."""
    for run in members:
        run.name = option_of(run, study.over)
    if twice := [name for name, count in Counter(run.name for run in members).items() if count > 1]:
        places = ", ".join(str(run.folder or run.place) for run in members if run.name in twice)
        raise ConfigError(
            f"two runs are alike but for {study.over}, and have the same there ({twice[0]}): give "
            f"one of {places}"
        )
    places_of = {name: place for place, name in enumerate(study.options)}

    def order(run: PlayedRun) -> tuple[bool, int, str]:
        return run.name != study.baseline, places_of.get(run.name, len(places_of)), run.name

    return sorted(members, key=order)


def _names(groups: list[list[PlayedRun]], over: Over) -> list[str]:
    """Name each group by what sets it apart, the model first."""
    parts: list[tuple[Over, Callable[[PlayedRun], str]]] = [
        ("model", lambda run: run.model),
        ("feedback", lambda run: "" if run.feedback == "none" else run.feedback),
        ("turns", lambda run: option_of(run, "turns")),
    ]
    firsts = [group[0] for group in groups]
    varying = [of for kind, of in parts if kind != over and _varies(firsts, of)]
    if over != "model" and parts[0][1] not in varying:
        varying.insert(0, parts[0][1])
    names = [", ".join(filter(None, (of(run) for of in varying))) or "all" for run in firsts]
    repeated = {name for name, count in Counter(names).items() if count > 1}
    return list(_apart(names, repeated, firsts))


def _varies(runs: Sequence[PlayedRun], of: Callable[[PlayedRun], str]) -> bool:
    return len({of(run) for run in runs}) > 1


def _apart(names: list[str], repeated: set[str], firsts: Sequence[PlayedRun]) -> Iterator[str]:
    for name, run in zip(names, firsts, strict=True):
        yield f"{name}, {run.folder or run.place}" if name in repeated else name
