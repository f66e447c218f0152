"""``codeact study NAME out=DIR [RUN WORDS]``: play a sweep that answers a question, and report it.

``turns``, ``feedback`` and ``formats`` are there; your own are files in ``study/`` of a
``--config-dir``. Words that are no keys of a study are those of ``codeact run``, such as
``model=…`` and ``task=…``, and hold for every run; ``model.name=a,b`` has a comparison for each.
The same command resumes what was stopped. ``source=PATH`` takes run folders or a published tree
instead of playing. The report has rates with intervals, paired differences to the baseline, the
study's own tables, and plots.
"""

import sys
from contextlib import ExitStack
from pathlib import Path

from codeact.commands.arguments import Arguments, configuration, configurations, parse, sources
from codeact.commands.help import tell_if_asked
from codeact.exceptions import ConfigError
from codeact.experiment.config.schema import RunConfig
from codeact.experiment.overrides import literal
from codeact.results.comparison.files import report_folder
from codeact.results.comparison.sources import runs_in
from codeact.results.studies.groups import report_study
from codeact.results.studies.report import show_study, write_study
from codeact.results.studies.settings import StudyConfig

RUNS = "runs"
_INTERRUPTED = 130


def main(words: list[str]) -> int:
    """Run the command; returns 0, or what ``codeact run`` returns where episodes are missing."""
    arguments = parse("study", ["-m", *words], positional="study", sweeps=True)
    arguments.multirun = arguments.sweeps = False  # that was for the words of the runs
    played = _run_words(arguments)
    if tell_if_asked("study", __doc__ or "", arguments, StudyConfig):
        return 0
    config = configuration("study", sources(arguments), StudyConfig)
    if config.sources:
        if played:
            raise ConfigError(f"source= takes what was played already: leave out {played[0]}")
        return _report(config, config.sources, 0)
    if config.out is None:
        raise ConfigError("give out=DIR for the runs and their report, or source=PATH")
    folder = report_folder(config.out) / RUNS
    status = _play(config, arguments, played, folder)
    if status == _INTERRUPTED:
        return status
    return _report(config, [str(folder)], status)


def _run_words(arguments: Arguments) -> list[str]:
    """Take the words that are for ``codeact run`` out of the command line, and return them."""
    ours = set(StudyConfig.model_fields)
    keys = {word: word.lstrip("+~").partition("=")[0] for word in arguments.overrides}
    mine = [word for word, key in keys.items() if key.partition(".")[0] in ours]
    rest = [word for word in arguments.overrides if word not in mine]
    arguments.overrides = mine
    return rest


def _play(config: StudyConfig, arguments: Arguments, words: list[str], folder: Path) -> int:
    study = config.study
    sweep = f"{study.over}={','.join(study.options)}"
    fixed = [f"run_dir={literal(str(folder))}", sweep]
    for word in words:
        if word.partition("=")[0] in (study.over, "run_dir"):
            raise ConfigError(f"{word}: the study says that; other options are study.options=[...]")
    run = Arguments(
        overrides=[*words, *fixed],
        multirun=True,
        config_dir=arguments.config_dir,
        config_name=None,
    )
    # What plays takes a third of a second to import.
    from codeact.commands.run.playing import play_all

    return play_all(configurations("run", run, RunConfig), sweep=True)


def _report(config: StudyConfig, places: list[str], status: int) -> int:
    with ExitStack() as stack:
        runs = [run for place in places for run in runs_in(place, stack)]
        report = report_study(config, runs)
    show_study(report, config.study.tables)
    if config.out is not None:
        folder = report_folder(config.out)
        write_study(report, config.study.tables, folder)
        sys.stdout.write(f"report: {folder / 'report.html'}\n")
    return status
