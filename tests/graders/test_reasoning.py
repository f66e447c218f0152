"""Strict verdicts on short answers, and hostile answers in both modes."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any, NoReturn, cast

import pytest
import pytest_asyncio

from codeact.datasets import get
from codeact.episode.task import Task
from codeact.graders.base import Mode
from codeact.sandboxes.base import Sandbox
from tests.helpers.sandboxes import started

pytestmark = pytest.mark.asyncio(loop_scope="module")

OPTIONS = "Which?\nOptions: A ) H2O , B ) HBr , C ) 1.5 , D ) the moon, and stars"


class NoSessions:
    """Stands where a sandbox goes when no session may be wanted."""

    async def session(self, **_: Any) -> NoReturn:
        raise AssertionError("a session was started for a plain answer")


NONE_WANTED = cast(Sandbox, NoSessions())


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sandbox() -> AsyncIterator[Sandbox]:
    sandbox = await started("local", preload=("numpy", "sympy", "math_verify"), memory_mb=1024)
    yield sandbox
    await sandbox.close()


async def judge(
    name: str,
    reference: Any,
    answer: str,
    sandbox: Sandbox = NONE_WANTED,
    *,
    mode: Mode = "strict",
    kind: str = "float",
    prompt: str = "Question?",
) -> bool:
    task = Task(
        name=name, id="0", prompt=prompt, reference=reference, metadata={"answer_type": kind}
    )
    return (await get(name).grader(mode)(task, answer, sandbox)).correct


@pytest.mark.parametrize(
    ("reference", "answer", "correct"),
    [
        ("36", "36", True),
        ("36", "36.0", True),
        ("36", "The answer is 36.", True),
        ("36", "The price of the toy in January is $36.", True),
        ("36", "40 * 0.9 = 36", True),
        ("36", "\\boxed{36}", True),
        ("36", "36 hours\n36 hours", True),
        ("130000", "$130,000", True),
        ("51", "50", False),
        ("36", "36.4", False),
        ("1", "-y - z + 11", False),
        ("1", "x + 1", False),
        ("2", "2\\pi", False),
        ("36", "36 or 37", False),
        ("36", "35\n36", False),
        ("36", "It is 36 and it is 37", False),
        ("5", "-5", False),
        ("130000", "1300000", False),
        ("2", "20", False),
        ("3", "48 - 3*H", False),
        ("1000000", "1e999999999", False),
        ("36", "", False),
    ],
)
async def test_gsm8k_wants_the_exact_number(reference: str, answer: str, correct: bool) -> None:
    assert await judge("gsm8k", reference, answer) == correct


@pytest.mark.parametrize(
    ("reference", "answer", "correct"),
    [
        ("-108.0", "-108", True),
        ("80.0", "the answer is 80", True),
        ("80.0", "80.5", False),
        ("0.63", "0.6309", True),
        ("0.63", "0.64", False),
        ("0.0", "0", True),
        ("0.0", "0.04", False),
        ("3.0", "2.9999999999999996", True),
        ("1.8", "The solutions are x = 1.6 and x = 1.8.", False),
        ("1.0", "(a, b, c) = (1, 1, 1)", False),
        ("7.0", "±7", False),
    ],
)
async def test_math_numbers_are_compared_as_far_as_they_are_written(
    reference: str, answer: str, correct: bool
) -> None:
    assert await judge("math", reference, answer) == correct


@pytest.mark.parametrize(
    ("reference", "answer", "correct"),
    [
        ("87.5", "$\\frac{175}{2}$", True),
        ("3.0", "\\sqrt{9}", True),
        ("7.0", "1/(3*sqrt(5)/2 + 7/2) + 3*sqrt(5)/2 + 7/2", True),
        ("15.0", "2*(a + b + c) + 15", False),
        ("2.0", "$2\\pi$", False),
        ("\\frac{1}{2}", "0.5", True),
        ("\\frac{1}{2}", "$\\dfrac{2}{4}$", True),
        ("x^2+2x+1", "$(x+1)^2$", True),
        ("x^2+2x+1", "$(x+1)^3$", False),
        ("[1,2)", "$[1,2)$", True),
    ],
)
async def test_math_expressions_are_compared_by_value(
    sandbox: Sandbox, reference: str, answer: str, correct: bool
) -> None:
    assert await judge("math", reference, answer, sandbox) == correct


@pytest.mark.parametrize(
    ("letter", "answer"),
    [
        ("a", "A"), ("a", "(a)"), ("a", "A) H2O"), ("a", "The answer is A ) H2O."),
        ("a", "The correct answer is $\\boxed{\\text{A}}$."), ("b", "b"), ("b", "B: HBr"),
        ("b", "The strongest is HBr."), ("c", "1.5"), ("c", "$\\frac{3}{2}$"), ("c", "option C"),
        ("d", "the moon, and stars"), ("b", "The answer is B.\n\nA ) is wrong because of water."),
    ],
)  # fmt: skip
async def test_multiple_choice_takes_the_letter_the_answer_commits_to(
    letter: str, answer: str
) -> None:
    for right in "abcd":
        assert await judge("mmlu", right, answer, prompt=OPTIONS) == (right == letter)


@pytest.mark.parametrize(
    "answer",
    ["A or B", "A) H2O and B) HBr", "I cannot say.", "None of the above", "", "H2O or HBr", "abcd"],
)
async def test_multiple_choice_refuses_ambiguity(answer: str) -> None:
    for right in "abcd":
        assert not await judge("mmlu", right, answer, prompt=OPTIONS)


@pytest.mark.parametrize(
    ("reference", "answer", "correct"),
    [
        ("yes", "Yes", True), ("yes", "yes, both of them", True), ("no", "The answer is no.", True),
        ("no", "False", True), ("yes", "No", False), ("yes", "yes and no", False),
        ("no", "I do not know", False), ("no", "nobody", False), ("yes", "yesterday", False),
        ("true", "Yes.", True), ("yes", "", False),
    ],
)  # fmt: skip
async def test_strategyqa_wants_one_truth_value(reference: str, answer: str, correct: bool) -> None:
    assert await judge("strategyqa", reference, answer) == correct


@pytest.mark.parametrize(
    ("reference", "answer", "correct"),
    [
        ("Matt Flynn", "matt flynn.", True),
        ("Matt Flynn", "The current drummer is Matt Flynn.", True),
        ("Pedro Rodríguez", "Pedro Rodriguez", True),
        ("the late 12th Century", "Late 12th century", True),
        ("Wilmette", "Wilmette, Illinois", True),
        ("Wilmette", "Wilmetteville", False),
        ("1962", "1967", False),
        ("Ed Wood", "Ed Wood is older than Al Fay.", True),
        ("Ed Wood", "Al Fay is older than Ed Wood.", False),
        ("Ed Wood", "Ed Wood is younger than Al Fay.", False),
        ("Wilmette", "It is not Wilmette.", False),
        ("Matt Flynn", "Matt Flynn, Jo Doe and Al Fay", False),
        ("yes", "yes", True),
        ("no", "They are not magazines.", False),
    ],
)
async def test_hotpotqa_wants_the_short_answer(reference: str, answer: str, correct: bool) -> None:
    prompt = "Who is older, Ed Wood or Al Fay?"
    assert await judge("hotpotqa", reference, answer, prompt=prompt) == correct


@pytest.mark.parametrize(
    ("kind", "reference", "answer", "correct"),
    [
        ("integer", 60, "The answer is 60.", True),
        ("integer", 60, "60.4", False),
        ("integer", -120, "The acceleration at t = 5 min is -120 m/s^2.", True),
        ("float", 1.12, "1.124", True),
        ("float", 1.12, "1.15", False),
        ("float", 463000000.0, "4.63 x 10^8", True),
        ("float", 2.0, "2.04", False),
        ("bool", False, "No, they are not.", True),
        ("bool", False, "True", False),
        ("list of integer", [-1, 4], "The point is (-1, 4).", True),
        ("list of integer", [1, 0], "[0, 1]", False),
        ("list of integer", [1, 0], "[1, 0, 0]", False),
        ("option", "c", "The answer is $\\boxed{\\text{(c)}}$.", True),
        ("option", "c", "a or c", False),
    ],
)
async def test_theoremqa_is_judged_by_the_type_of_its_answer(
    kind: str, reference: Any, answer: str, correct: bool
) -> None:
    prompt = "Choose. Options: a ) one , b ) two , c ) three"
    assert await judge("theoremqa", reference, answer, kind=kind, prompt=prompt) == correct


async def test_theoremqa_expressions_are_evaluated_in_a_session(sandbox: Sandbox) -> None:
    assert await judge("theoremqa", 0.0067379, "math.exp(-5)", sandbox)
    assert await judge("theoremqa", 20.0855, "np.exp(3)", sandbox, mode="mint")
    assert not await judge("theoremqa", 1000.0, "10^3", sandbox, mode="mint")


HOSTILE = {
    "power tower": "9**9**9",
    "power tower in latex": "$9^{9^{9^9}}$",
    "factorial": "100000000!",
    "factorial called": "factorial(10**9)",
    "huge digits": "9" * 1_000_000,
    "huge text": "word " * 200_000,
    "nested brackets": "[" * 100_000 + "]" * 100_000,
    "nested braces": "\\boxed{" * 100_000,
    "nested brackets for a parser": "[" * 4_900 + "]" * 4_900,
    "nested parentheses": "(" * 1500 + "1" + ")" * 1500,
    "unary signs": "-" * 1900 + "1",
    "commas": "1," * 300_000,
    "dots": "." * 300_000 + "x",
    "spaces": "5" + " " * 900_000 + "x",
    "options": "a) " * 300_000,
    "phrases": "answer is " * 100_000,
    "import": "__import__('os').system('touch harmed; kill -9 -1')",
    "import in latex": "$\\text{__import__('os').system('kill -9 -1')}$",
    "exit": "exit()",
    "hard exit": "__import__('os')._exit(0)",
    "recursion": "(lambda f: f(f))(lambda f: f(f))",
    "memory": "[0]*10**11",
    "exponent": "1e999999999999",
    "nul and surrogate": "\x00\udcff",
    "quotes": "'''\"\"\"\\",
    "right-to-left and digits of other scripts": "\u202e٣٦²",
    "print": "print('x'*10**9)",
    "frames": "[].__class__.__base__.__subclasses__()",
}


@pytest.mark.parametrize("mode", ["mint", "strict"])
@pytest.mark.parametrize("name", HOSTILE)
async def test_hostile_answers_are_wrong_in_time_and_the_loop_stays_free(
    sandbox: Sandbox, name: str, mode: Mode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limits on evaluation are shorter here, since the towers and factorials wait for them."""
    for module in ("mathematics", "theorem"):
        monkeypatch.setattr(f"codeact.graders.{module}._SECONDS", 0.3)
    longest = 0.0

    async def watch() -> None:
        nonlocal longest
        while True:
            # What this thread computes: a busy machine may let it wait.
            began = time.thread_time()
            await asyncio.sleep(0.01)
            longest = max(longest, time.thread_time() - began)

    watcher = asyncio.create_task(watch())
    answer = HOSTILE[name]
    async with asyncio.timeout(60):
        found = await asyncio.gather(
            judge("gsm8k", "36", answer, sandbox, mode=mode),
            judge("math", "-1.0", answer, sandbox, mode=mode),
            judge("hotpotqa", "Matt Flynn", answer, sandbox, mode=mode),
            judge("strategyqa", "yes", answer, sandbox, mode=mode),
            judge("theoremqa", 4.5, answer, sandbox, mode=mode),
            judge("theoremqa", [1, 4], answer, sandbox, mode=mode, kind="list of integer"),
            judge("wiki_table_questions", "Matt|Flynn", answer, sandbox, mode=mode),
        )
        # In mint mode a letter anywhere in the answer is right: published, and no attack.
        chosen = await judge("mmlu", "b", answer, sandbox, mode=mode, prompt=OPTIONS)
    watcher.cancel()
    assert not any(found)
    assert not chosen or mode == "mint"
    assert longest < 1
