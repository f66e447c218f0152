"""Mutation check: how many small faults, put into the code one at a time, do the tests find?

``make mutants MUTANTS=200 SEED=1`` draws places at random, lets cosmic-ray change one thing at
each, and runs the module's own tests in a copy of the working tree. What no test finds is printed
as a diff. One that matters shows a gap in the tests; one that changes no behaviour shows none.
"""

import argparse
import multiprocessing
import os
import signal
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from multiprocessing.process import BaseProcess
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Literal, NamedTuple

from tests.helpers.checkout import Checkout
from tests.helpers.documents import ROOT
from tests.helpers.mutation import Mutant, sample

QUICK = "not (slow or docker or ray or alone or docs)"
EVERY = "not (docker or ray or alone or docs)"
PRELOADED = ["pytest", "hypothesis", "aiohttp", "omegaconf", "numpy", "pydantic", "msgspec"]
"""Imported once for all mutants; nothing of codeact, which each mutant imports anew."""
LEAST_LIMIT = 90.0
"""Seconds that the tests of one mutant have at least; otherwise ten times what they took before."""

Result = Literal["killed", "timeout", "survived"]


class ModuleTests(NamedTuple):
    """The tests of a module, in the order in which they run until one fails.

    `first` looks at the module alone and takes seconds. Of the files of `quick`, those tests run
    that `make quick` runs; of `slow`, all.
    """

    first: tuple[str, ...]
    quick: tuple[str, ...] = ()
    slow: tuple[str, ...] = ()


_MACHINE = ("episode/test_machine.py", "episode/test_actions.py")
_FEEDBACK = ("episode/test_feedback.py",)
_LEAKS = ("episode/test_leaks.py",)
_RECORDED = ("recordings/test_recorded_model.py",)
_RECORD = ("episode/test_record.py",)
_FOLDER = ("recordings/test_run_folder.py",)
_BUDGET = (
    "experiment/test_run_limits.py::test_a_budget_of_tokens_ends_the_run_and_more_of_it_goes_on"
)
_LABELS = ("graders/test_labels.py", "graders/test_words_of_answers.py")
_SHORT = (
    "graders/test_commitment.py",
    "graders/test_reasoning.py::test_math_expressions_are_compared_by_value",
    "graders/test_mint_parity.py::test_every_recorded_short_answer_gets_its_published_verdict",
)
_PROGRAMS = (
    "graders/test_clock.py::test_what_never_ends_is_wrong",
    "graders/test_clock.py::test_a_sandbox_that_gives_no_session_gives_no_verdict",
    "graders/test_code.py::test_a_correct_answer_passes_fenced_or_not",
    "graders/test_mint_parity.py::test_recorded_programs_get_their_published_verdicts",
)
_TEXT = ModuleTests(_LABELS, ("graders/test_reasoning.py",), _SHORT)
_CODE = ("graders/test_code.py",)
_PUBLISHED = ("collection/test_collection_published.py",)
_COLLECTION = ("collection/test_collection.py",)
_FORMATS = ModuleTests(
    ("episode/test_formats.py", "episode/test_prompt_words.py"),
    ("experiment/test_formats.py", "experiment/test_format_calls.py"),
)

TESTS = {
    "episode/causes.py": ModuleTests(
        ("experiment/test_runner.py",), ("experiment/test_run_limits.py",)
    ),
    "episode/effects.py": ModuleTests((*_MACHINE, *_RECORD), _RECORDED),
    "episode/feedback.py": ModuleTests((*_FEEDBACK, *_MACHINE), _RECORDED),
    "episode/leaks.py": ModuleTests(_LEAKS, _FEEDBACK, ("episode/test_recorded_feedback.py",)),
    "episode/accounts.py": ModuleTests(("experiment/test_accounts.py",)),
    "episode/spending.py": ModuleTests(("experiment/test_accounts.py",)),
    "episode/reasoning.py": ModuleTests(("episode/test_reasoning.py",)),
    "episode/tokens.py": ModuleTests(("models/test_exact_tokens.py",)),
    "episode/messages.py": ModuleTests(_MACHINE, ("recordings/test_versions.py",)),
    "episode/machine.py": ModuleTests((*_MACHINE, *_FEEDBACK), _RECORDED),
    "episode/prompts/base.py": ModuleTests(_MACHINE, _RECORDED),
    "episode/prompts/code.py": ModuleTests(_MACHINE, _RECORDED),
    "episode/prompts/examples.py": ModuleTests(_MACHINE, ("test_sample_data.py",)),
    "episode/prompts/recorded.py": ModuleTests(("experiment/test_recorded_prompts.py",)),
    "episode/conduct.py": ModuleTests(("episode/test_conduct.py",)),
    "episode/schemas.py": ModuleTests(("episode/test_schemas.py",)),
    "episode/textless.py": ModuleTests(("episode/test_textless.py",)),
    "episode/prompts/called_examples.py": _FORMATS,
    "episode/prompts/calling.py": _FORMATS,
    "episode/prompts/calls.py": _FORMATS,
    "episode/prompts/code_fenced.py": _FORMATS,
    "episode/prompts/code_tool.py": _FORMATS,
    "episode/prompts/direct.py": _FORMATS,
    "episode/prompts/format.py": _FORMATS,
    "episode/prompts/json_calls.py": _FORMATS,
    "episode/prompts/json_code.py": _FORMATS,
    "episode/prompts/parsing.py": _FORMATS,
    "episode/prompts/text_calls.py": _FORMATS,
    "episode/prompts/tool_calls.py": _FORMATS,
    "episode/prompts/worked.py": _FORMATS,
    "episode/protocol.py": ModuleTests(_MACHINE, _RECORDED),
    "episode/record.py": ModuleTests(_RECORD, (*_FOLDER, "experiment/test_runner.py")),
    "graders/attacks.py": ModuleTests(("experiment/test_attacking.py",)),
    "graders/toolbench.py": ModuleTests(("datasets/test_toolbench.py",)),
    "graders/cases.py": ModuleTests(("graders/test_outputs.py",), _CODE, _PROGRAMS),
    "graders/choice.py": _TEXT,
    "graders/code.py": ModuleTests(_CODE, (), _PROGRAMS),
    "graders/commitment.py": _TEXT,
    "graders/containment.py": _TEXT,
    "graders/cues.py": _TEXT,
    "graders/denotation.py": _TEXT._replace(first=("graders/test_denotation.py",)),
    "graders/evaluation.py": ModuleTests(
        ("graders/test_evaluation.py",), (*_CODE, *_TEXT.quick), (*_SHORT[:1], *_PROGRAMS)
    ),
    "graders/fences.py": ModuleTests(("graders/test_fences.py",), _CODE),
    "graders/latex.py": _TEXT,
    "graders/lists.py": _TEXT,
    "graders/mathematics.py": _TEXT._replace(first=("graders/test_mathematics.py",)),
    "graders/numbers.py": _TEXT._replace(first=("graders/test_numbers.py",)),
    "graders/outputs.py": ModuleTests(("graders/test_outputs.py",), _CODE),
    "graders/places.py": _TEXT,
    "graders/text.py": _TEXT,
    "graders/theorem.py": _TEXT._replace(first=("graders/test_theorem.py",)),
    "graders/truth.py": _TEXT,
    "graders/typed.py": ModuleTests(("commands/test_people.py",)),
    "graders/unicode.py": _TEXT,
    "experiment/budget.py": ModuleTests(
        ("experiment/test_budget.py",), ("experiment/test_run_identity.py",), (_BUDGET,)
    ),
    "experiment/runner.py": ModuleTests(
        ("experiment/test_runner.py",),
        ("experiment/test_run_limits.py", "experiment/test_failures.py"),
        (_BUDGET, "experiment/test_run_faults.py::test_a_passing_fault_is_retried_and_remembered"),
    ),
    "recordings/run_folder.py": ModuleTests(
        _FOLDER, ("recordings/test_readers_agree.py", "experiment/test_run_identity.py")
    ),
    "collection/filters.py": ModuleTests(
        (f"{_COLLECTION[0]}::test_every_filter_keeps_and_drops_what_its_cases_say",),
        ("collection/test_selection_steps.py",),
        _PUBLISHED,
    ),
    "collection/tiers.py": ModuleTests(("collection/test_tiers.py",), _COLLECTION, _PUBLISHED),
    "collection/conversion.py": ModuleTests(
        _COLLECTION, ("collection/test_formats.py",), _PUBLISHED
    ),
}
"""The modules beneath codeact/ that are mutated, with their tests beneath tests/."""


# --- the tests of one mutant


class Copies:
    """Copies of the working tree, one for each mutant at a time."""

    def __init__(self, folder: Path, count: int) -> None:
        self._free: SimpleQueue[Path] = SimpleQueue()
        self._running: set[BaseProcess] = set()
        # Fork copies a process that has imported what all need; nothing of a mutant stays in it.
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(PRELOADED)
        for number in range(count):
            copy = folder / str(number) / "tree"
            copy.mkdir(parents=True)
            Checkout(copy)
            if (shared := ROOT.parent / "shared").is_dir():
                (copy.parent / "shared").symlink_to(shared)
            self._free.put(copy)

    def test(self, mutant: Mutant, limit: float) -> tuple[Result, float]:
        """Run the tests of a mutant's module, and say how they ended and the seconds they took."""
        copy = self._free.get()
        path = copy / "codeact" / mutant.module
        begun = time.monotonic()
        try:
            path.write_text(mutant.after, encoding="utf-8")
            tests = TESTS[mutant.module]
            result: Result = "survived"
            for names, marks in ((tests.first, EVERY), (tests.quick, QUICK), (tests.slow, EVERY)):
                if names and result == "survived":
                    result = self._run(copy, names, marks, limit)
            return result, time.monotonic() - begun
        finally:
            path.write_text(mutant.before, encoding="utf-8")
            self._free.put(copy)

    @contextmanager
    def ended(self, pool: ThreadPoolExecutor) -> Iterator[None]:
        """Leave no test running where this ends early, by Ctrl-C for example."""
        try:
            yield
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in list(self._running):
                _kill(process)

    def _run(self, copy: Path, tests: Sequence[str], marks: str, limit: float) -> Result:
        process = self._context.Process(target=run_tests, args=(copy, tests, marks))
        process.start()
        self._running.add(process)
        process.join(limit)
        late = process.is_alive()
        self._running.discard(process)
        _kill(process)
        process.join()
        if late:
            return "timeout"
        return "survived" if process.exitcode == 0 else "killed"


def _kill(process: BaseProcess) -> None:
    """Kill the tests of one mutant; the sandboxes that they started end with them."""
    assert process.pid is not None
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.kill()


def run_tests(copy: Path, tests: Sequence[str], marks: str) -> None:
    """In a process of its own: run tests of a copy, and exit with pytest's status."""
    os.setsid()
    os.chdir(copy)
    with (copy.parent / "output.txt").open("wb") as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    sys.path[:0] = [str(copy)]
    os.environ["PYTHONPATH"] = str(copy)
    # A file of compiled code is known by its second and size; mutants share both.
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    sys.dont_write_bytecode = True
    for name in [name for name in sys.modules if name.split(".")[0] in {"codeact", "tests"}]:
        del sys.modules[name]
    import pytest

    options = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--hypothesis-seed=1"]
    status = int(pytest.main([*options, "-m", marks, *(f"tests/{name}" for name in tests)]))
    import codeact

    if not (codeact.__file__ or "").startswith(str(copy)):
        status = 100
    sys.stdout.flush()
    os._exit(status)


# --- the command


def main() -> int:
    """Return 0 where enough mutants are found, 1 where not, 2 where the tests fail as it is."""
    options = _options()
    mutants = sample(sources(), options.mutants, options.seed)
    if options.only:
        mutants = [mutant for mutant in mutants if mutant.number in options.only]
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        copies = Copies(Path(folder), options.jobs)
        with ThreadPoolExecutor(options.jobs) as pool, copies.ended(pool):
            rows = list({TESTS[mutant.module]: mutant.module for mutant in mutants}.values())
            found = pool.map(lambda module: _limit(copies, module), rows)
            limits = {TESTS[module]: limit for module, limit in zip(rows, found, strict=True)}
            if failing := [module for module in rows if limits[TESTS[module]] is None]:
                print("without a mutant, tests fail of", *failing)
                return 2
            results = list(pool.map(lambda one: _tested(copies, one, limits), mutants))
    return _report(mutants, results, options.at_least)


def sources() -> dict[str, str]:
    """Return the texts of the modules that are mutated."""
    return {name: (ROOT / "codeact" / name).read_text(encoding="utf-8") for name in TESTS}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("--mutants", type=int, default=200, help="how many to make")
    parser.add_argument("--seed", type=int, default=1, help="which ones")
    parser.add_argument("--at-least", type=float, default=85.0, help="per cent to be found")
    parser.add_argument("--jobs", type=int, default=2, help="how many at a time")
    parser.add_argument("--only", type=int, nargs="*", help="numbers of the sample, to try again")
    return parser.parse_args()


def _limit(copies: Copies, module: str) -> float | None:
    """Seconds for the tests of a module's row; None if they fail without a mutant."""
    source = sources()[module]
    result, seconds = copies.test(Mutant(0, module, source, source), 600)
    print(f"   0 {module:30} {result:9} {seconds:6.1f} s", flush=True)
    return max(LEAST_LIMIT, 10 * seconds) if result == "survived" else None


def _tested(copies: Copies, mutant: Mutant, limits: dict[ModuleTests, Any]) -> Result:
    result, seconds = copies.test(mutant, limits[TESTS[mutant.module]])
    print(f"{mutant.number:4} {mutant.module:30} {result:9} {seconds:6.1f} s", flush=True)
    if result == "survived":
        print(mutant.diff(), flush=True)
    return result


def _report(mutants: Sequence[Mutant], results: Sequence[Result], at_least: float) -> int:
    table: dict[str, Counter[Result]] = defaultdict(Counter)
    for mutant, result in zip(mutants, results, strict=True):
        table[mutant.module][result] += 1
        table["all"][result] += 1
    print(f"\n{'module':30}   killed  timeout survived")
    for name, counts in sorted(table.items(), key=lambda row: (row[0] == "all", row[0])):
        print(f"{name:30} {counts['killed']:8} {counts['timeout']:8} {counts['survived']:8}")
    survived = [
        m.number for m, result in zip(mutants, results, strict=True) if result == "survived"
    ]
    share = 100 * (1 - len(survived) / len(mutants)) if mutants else 0.0
    print(f"\n{share:.1f} % found; survivors: {' '.join(map(str, survived)) or 'none'}")
    return 0 if share >= at_least else 1


if __name__ == "__main__":
    sys.exit(main())
