"""Tables of runs for the terminal."""

from collections import Counter
from collections.abc import Mapping, Sequence

import msgspec
from rich.table import Table

from codeact.experiment.comparing import DIFFERENT, EQUAL, NOT_COMPARABLE
from codeact.experiment.failures import grouped
from codeact.experiment.regrade import Regraded
from codeact.experiment.replay import Difference, Score
from codeact.experiment.skipped import SkippedEpisodes
from codeact.experiment.summary import Summary, Tally
from codeact.experiment.sweep_report import SweepRow
from codeact.experiment.validate import Unknown, ValidationReport
from codeact.results.accounts import show_accounts
from codeact.results.terminal import wide_console
from codeact.sandboxes.check import Promise
from codeact.sandboxes.sweep import Swept
from codeact.statistics.wilson import Interval

COLUMNS = ("episodes", "solved", "rate [95 %]", "turns", "tokens", "feedback tokens", "USD")
LEAKS = "leaks"
"""One more column where there was feedback: turns whose feedback gave the answer away."""
REASONING = "reasoning"
"""One more column where models reasoned apart: tokens that are part of the others."""
SAMPLES = ("pass@", "pass^")
"""Two more columns where tasks have several samples: that one of so many succeeds, or all."""
_MOST_KINDS = 20
"""Of failures, that are listed; the others are in the file."""
_MOST_NAMED = 5
"""Of tasks with one reason."""
_LONGEST = 300
"""Characters of an error."""


def show_run(title: str, summary: Summary) -> None:
    """Print one row for each data set and one for all of them, and what the run took."""
    wide_console().print(run_table(title, summary))
    show_accounts(summary.accounts)


def run_table(title: str, summary: Summary) -> Table:
    """Return the table of a run: one row for each data set, and one for all of them."""
    table = Table(title=title, title_justify="left")
    table.add_column("task")
    more = _add_columns(table, [summary.overall])
    table.add_column("failures")
    for name, tally in sorted(summary.by_task.items()):
        table.add_row(name, *_cells(tally, more))
    table.add_section()
    table.add_row("all", *_cells(summary.overall, more))
    return table


def show_sweep(rows: Sequence[SweepRow]) -> None:
    """Print one row for each run of a sweep, with the error of runs that ended early."""
    overall = [row.summary.overall for row in rows if row.summary]
    table, more = _table_of_runs("sweep", overall)
    for row in rows:
        *cells, failures = _cells(Tally() if row.summary is None else row.summary.overall, more)
        if row.error:
            failures = f"ended early: {_line(row.error)}"
        elif row.status == "incomplete":
            failures = f"{row.planned - int(cells[0])} episodes left; {failures}"
        table.add_row(row.name, *cells, failures)
    wide_console().print(table)


def show_runs(title: str, runs: Mapping[str, Tally]) -> None:
    """Print one row for each run, by its name."""
    table, more = _table_of_runs(title, list(runs.values()))
    for name, tally in runs.items():
        table.add_row(name, *_cells(tally, more))
    wide_console().print(table)


def _table_of_runs(title: str, tallies: Sequence[Tally]) -> tuple[Table, list[str]]:
    """Make a table with a row for each run, and return its columns that not every table has."""
    table = Table(title=title, title_justify="left")
    table.add_column("run", overflow="fold")
    more = _add_columns(table, tallies)
    table.add_column("failures", overflow="fold")
    return table, more


def show_failures(summaries: Mapping[str, Summary], files: Mapping[str, str]) -> bool:
    """Print one line for each kind of failure, and the `files` with all; returns whether any is."""
    console = wide_console()
    many = len(files) > 1
    groups = grouped(
        msgspec.structs.replace(failure, id=f"{name}: {failure.id}") if many else failure
        for name, summary in summaries.items()
        for failure in summary.failures
    )
    lines = []
    for group in groups[:_MOST_KINDS]:
        ids = ", ".join(group.ids) + (", …" if group.episodes > len(group.ids) else "")
        lines.append(f"failed: {group.episodes:,} × {group.cause}: {_line(group.error)} ({ids})")
    if (rest := groups[_MOST_KINDS:]) != []:
        count = sum(group.episodes for group in rest)
        lines.append(f"failed: {count:,} more episodes, of {len(rest):,} other kinds")
    lines += [
        f"every failed episode: {file}" for name, file in files.items() if summaries[name].failures
    ]
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    return bool(groups)


def _line(error: str) -> str:
    """An error in one line, which may stand among others."""
    text = " ".join(error.split())
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} …"


def _add_columns(table: Table, tallies: Sequence[Tally]) -> list[str]:
    """Add the columns of numbers; returns those that not every table has."""
    is_there = {
        REASONING: any(_reasoning(tally) for tally in tallies),
        LEAKS: any(tally.checked_feedback for tally in tallies),
    }
    more = [name for name, there in is_there.items() if there]
    if (k := max((_most_samples(tally) for tally in tallies), default=0)) > 1:
        more += [f"{name}{k}" for name in SAMPLES]
    for name in (*COLUMNS, *more):
        table.add_column(name, justify="right")
    return more


def _reasoning(tally: Tally) -> int:
    return tally.usage.reasoning + tally.feedback_usage.reasoning


def _most_samples(tally: Tally) -> int:
    """Return the largest k that pass@k is known for; 0 of single samples."""
    return max(tally.samples.pass_at_k, default=0)


def _of_samples(tally: Tally, column: str) -> str:
    """Return a value of a column that is named by one of `SAMPLES` and k."""
    name, k = column[: len(SAMPLES[0])], int(column[len(SAMPLES[0]) :])
    rates = tally.samples.pass_at_k if name == SAMPLES[0] else tally.samples.pass_hat_k
    return "-" if k not in rates else with_interval(rates[k].value, rates[k].interval)


def with_interval(rate: float | None, interval: Interval | None) -> str:
    """Return a rate in percent with its 95 % interval."""
    if rate is None:
        return "-"
    if interval is None:
        return f"{rate:.1%}"
    return f"{rate:.1%} [{100 * interval.low:.1f}, {100 * interval.high:.1f}]"


def _cells(tally: Tally, more: Sequence[str]) -> list[str]:
    rate = with_interval(tally.success_rate, tally.samples.interval)
    turns = f"{tally.turns / tally.episodes:.1f}" if tally.episodes else "-"
    causes = [f"{cause} {count}" for cause, count in sorted(tally.causes.items())]
    causes += [f"{cause} {count}, tried again" for cause, count in sorted(tally.retried.items())]
    if tally.edited:
        causes.append(f"edited by a person {tally.edited}, not counted")
    cost = tally.spent.cost
    optional = {
        REASONING: f"{_reasoning(tally):,}",
        LEAKS: f"{tally.leaks}/{tally.checked_feedback}",
    }
    return [
        str(tally.episodes),
        f"{tally.successes}/{tally.counted}",
        rate,
        turns,
        f"{tally.usage.total:,}",
        f"{tally.feedback_usage.total:,}",
        "-" if cost is None else f"{cost:.2f}",
        *(optional.get(name) or _of_samples(tally, name) for name in more),
        "; ".join(causes) or "-",
    ]


def show_replay(scores: Mapping[str, Score], unexplained: Sequence[Difference]) -> None:
    """Print agreement by model, every class of difference, and each unexplained difference."""
    console = wide_console()
    by_model: dict[str, Score] = {}
    for group, score in scores.items():
        model, feedback, _ = group.split("/", 2)
        _merge(by_model.setdefault(f"{model} ({feedback})", Score()), score)
        _merge(by_model.setdefault("all", Score()), score)
    total = by_model.pop("all")
    table = Table(title="replay", title_justify="left")
    table.add_column("recorded run", overflow="fold")
    shares = ("observations", "byte-equal", "by class", "network equal")
    for name in ("episodes", "same end", *shares, "messages equal", LEAKS):
        table.add_column(name, justify="right")
    for name, score in [*sorted(by_model.items()), ("all", total)]:
        observed = sum(
            count for kind, count in score.observations.items() if kind not in NOT_COMPARABLE
        )
        table.add_row(
            name,
            str(score.episodes),
            _share(score.same_end, score.episodes),
            str(observed),
            _share(score.observations.get(EQUAL, 0), observed),
            _share(observed - score.observations.get(DIFFERENT, 0), observed),
            _share(score.network.get(EQUAL, 0), sum(score.network.values())),
            f"{score.same_messages}/{score.messages}",
            f"{score.leaks}/{score.feedback}" if score.feedback else "-",
        )
    console.print(table)
    classes = Table(title="observations by class", title_justify="left")
    classes.add_column("class")
    classes.add_column("local", justify="right")
    classes.add_column("network", justify="right")
    for name in sorted({*total.observations, *total.network}, key=lambda n: (n != EQUAL, n)):
        local, network = total.observations.get(name, 0), total.network.get(name, 0)
        classes.add_row(name, str(local), str(network))
    console.print(classes)
    for one in unexplained:
        turn = "" if one.turn is None else f" turn {one.turn + 1}"
        was, now = _short(one.recorded), _short(one.live)
        text = f"{one.what}: {one.episode}{turn}: recorded {was} | live {now}"
        if one.turn is None and one.action:
            text += f" | {_short(one.action)}"
        console.print(text, markup=False, highlight=False, soft_wrap=True)


def show_regrade(regraded: Sequence[Regraded], mode: str, against: str, *, listed: bool) -> None:
    """Print how often two verdicts agree by data set; if `listed`, also each answer where not."""
    console = wide_console()
    table = Table(title=f"{mode} against {against}", title_justify="left")
    table.add_column("task")
    for name in ("answers", "agree", f"only {mode} right", f"only {against} right", "no verdict"):
        table.add_column(name, justify="right")
    names = sorted({one.task.partition("/")[0] for one in regraded})
    for name in [*names, "all"]:
        own = [one for one in regraded if name in ("all", one.task.partition("/")[0])]
        agree = sum(not one.differs for one in own)
        table.add_row(
            name,
            str(len(own)),
            _share(agree, len(own)),
            str(sum(one.new is True and one.old is False for one in own)),
            str(sum(one.new is False and one.old is True for one in own)),
            str(sum(one.new is None or one.old is None for one in own)),
        )
    console.print(table)
    for one in regraded if listed else ():
        if one.differs:
            text = (
                f"{one.task}: {mode} {one.new}, {against} {one.old}: answer {_short(one.answer)}, "
                f"reference {_short(one.reference)} ({one.place})"
            )
            console.print(text, markup=False, highlight=False, soft_wrap=True)


def show_skipped(skipped: Sequence[SkippedEpisodes]) -> None:
    """Print one line for each data set and reason of which episodes were skipped."""
    for one in skipped:
        wide_console().print(one.in_words, markup=False, highlight=False, soft_wrap=True)


def show_promises(executor: str, promises: Sequence[Promise]) -> int:
    """Print one row for each promise of the sandbox; returns 1 if one did not hold."""
    table = Table(title=f"executor={executor}", title_justify="left")
    table.add_column("promise")
    table.add_column("held")
    table.add_column("seen", overflow="fold")
    table.add_column("seconds", justify="right")
    for row in promises:
        table.add_row(row.promise, "yes" if row.held else "NO", row.seen, f"{row.seconds:.2f}")
    wide_console().print(table)
    return int(not all(row.held for row in promises))


def show_swept(swept: Sequence[Swept]) -> int:
    """Print one line for each leftover; returns 1 if one could not be removed."""
    console = wide_console()
    for one in swept:
        text = f"{one.kind} {one.name}: {one.problem or 'removed'}"
        console.print(text, markup=False, highlight=False, soft_wrap=True)
    if not swept:
        console.print("nothing was left over")
    return int(any(one.problem for one in swept))


def _merge(into: Score, score: Score) -> None:
    into.episodes += score.episodes
    into.same_end += score.same_end
    into.observations = dict(Counter(into.observations) + Counter(score.observations))
    into.network = dict(Counter(into.network) + Counter(score.network))
    into.messages += score.messages
    into.same_messages += score.same_messages
    into.feedback += score.feedback
    into.leaks += score.leaks


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.2%}" if whole else "-"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 160 else f"{text[:80]} … {text[-75:]}"


def show_validation(reports: Mapping[str, ValidationReport], files: Mapping[str, str]) -> None:
    """Print one row for each data set, then every reference that fails its own grader.

    Tasks without a known answer are listed by the reason; the file has each of them.
    """
    console = wide_console()
    table = Table(title="references against their own graders", title_justify="left")
    table.add_column("task")
    table.add_column("grading")
    table.add_column("tasks", justify="right")
    table.add_column("pass", justify="right")
    unknown = any(report.unknown for report in reports.values())
    if unknown:
        table.add_column("no answer known", justify="right")
    for name, report in reports.items():
        fit = report.tasks - len(report.unfit) - len(report.unknown)
        counts = [report.tasks, fit, *([len(report.unknown)] if unknown else [])]
        table.add_row(name, report.mode, *map(str, counts))
    console.print(table)
    for name, report in reports.items():
        for unfit in report.unfit:
            text = f"fails: {files[name]}: {unfit.task}: {_short(unfit.answer)}: {unfit.reason}"
            console.print(text, markup=False, highlight=False, soft_wrap=True)
        for why, tasks in _by_reason(report.unknown).items():
            some = ", ".join(tasks[:_MOST_NAMED]) + (", …" if len(tasks) > _MOST_NAMED else "")
            text = f"no answer known: {files[name]}: {len(tasks):,} × {why} ({some})"
            console.print(text, markup=False, highlight=False, soft_wrap=True)


def _by_reason(unknown: Sequence[Unknown]) -> dict[str, list[str]]:
    """Group tasks by the reason why no answer is known, the most first."""
    found: dict[str, list[str]] = {}
    for one in unknown:
        found.setdefault(one.why, []).append(one.task)
    return dict(sorted(found.items(), key=lambda item: -len(item[1])))
