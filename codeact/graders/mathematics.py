"""Verdicts on mathematics: numbers on the host, everything else by math-verify in a session.

A plain number is compared here. An expression is parsed in a session, never on the host. If the
reference is a number, the session sends back only the expression's value, which is compared here.
So a session holds nothing to forge a verdict from.
"""

import re
from fractions import Fraction

from codeact.episode.effects import Verdict
from codeact.episode.task import Task
from codeact.graders.commitment import NO_VALUE, Commitment, commitment
from codeact.graders.containment import close_or_contained
from codeact.graders.evaluation import evaluate, why
from codeact.graders.latex import normalised
from codeact.graders.numbers import agrees, shown, single_number
from codeact.sandboxes.base import Sandbox

_SECONDS = 10.0
_LONGEST_EXPRESSION = 2000
_NOISE = Fraction(1, 10**9)
"""What floating point may lose; references are exact unless they have decimals."""

_GROUPED = re.compile(r"\d_\d")

_PARSE = """
from math_verify import LatexExtractionConfig, parse
from sympy import Expr, N
from sympy.parsing.sympy_parser import parse_expr
def by_latex(text):
    shown = "$" + text.strip().strip("$") + "$"
    found = parse(shown, [LatexExtractionConfig()], parsing_timeout=None)
    return [value for value in found if not isinstance(value, str)]
"""
_VALUE = """
# math-verify takes the last number out of text that is no LaTeX: 15 out of 2(a + b) + 15.
if "\\\\" in TEXT or "{" in TEXT:
    found = by_latex(TEXT)
else:
    for prefix in ("np.", "numpy.", "math.", "sympy."):
        TEXT = TEXT.replace(prefix, "")
    found = [parse_expr(TEXT.replace("^", "**"))]
RESULT = None
for value in found:
    if isinstance(value, Expr) and not value.free_symbols:
        number = N(value, 40)
        if number.is_real and number.is_finite:
            RESULT = str(number)
            break
"""
_VERIFY = """
from math_verify import verify
RESULT = any(
    verify(gold, found, timeout_seconds=None)
    for gold in by_latex(REFERENCE) for found in by_latex(TEXT)
)
"""


async def mint(task: Task, answer: str, _sandbox: Sandbox) -> Verdict:
    """Grade as published: a number that is 5 % off at most, or a text that contains it."""
    return close_or_contained(task, answer)


async def mint_latex(task: Task, answer: str, sandbox: Sandbox) -> Verdict:
    """Grade as published for training problems: the same LaTeX, or the same expression."""
    is_short = len(answer) <= _LONGEST_EXPRESSION
    if is_short and normalised(answer) == normalised(str(task.reference)):
        return Verdict(True, "the same LaTeX")
    return await strict(task, answer, sandbox)


async def strict(task: Task, answer: str, sandbox: Sandbox) -> Verdict:
    """Grade by commitment: the same number, as far as the reference is written, or expression."""
    reference = str(task.reference).strip()
    try:
        Fraction(reference)
    except ValueError:
        return await _same_expression(task, reference, answer, sandbox)
    number = await committed_number(answer, reference, task.prompt, sandbox)
    if number.problem:
        return Verdict(False, number.problem)
    return Verdict(
        agrees(number.value, reference, relative=_NOISE), f"read as {shown(number.value)}"
    )


async def committed_number(
    answer: str, reference: str, question: str, sandbox: Sandbox
) -> Commitment:
    """Find the number that an answer commits to: plain, or the value of an expression."""
    plain = commitment(answer, single_number, question=question, bounds=True)
    if plain.value is not None or plain.problem != NO_VALUE:
        return plain
    found = commitment(answer, _expression, question=question, bounds=True)
    if found.problem:
        return found
    number = await number_of_expression(found.value, sandbox)
    if number is None:
        return Commitment(None, problem=NO_VALUE)
    return Commitment(number, found.text)


async def number_of_expression(text: str, sandbox: Sandbox) -> Fraction | None:
    """Evaluate an expression in a session; None if it has no real value."""
    outcome = await evaluate(sandbox, f"TEXT = {text!r}\n{_PARSE}{_VALUE}", seconds=_SECONDS)
    if not outcome.ok or not isinstance(outcome.value, str) or len(outcome.value) > 400:
        return None
    return single_number(outcome.value)


async def _same_expression(task: Task, reference: str, answer: str, sandbox: Sandbox) -> Verdict:
    found = commitment(
        answer, _whole, own=lambda _: reference, question=task.prompt, bounds=True, whole=True
    )
    if found.problem:
        return Verdict(False, found.problem)
    text = found.value
    if text == reference:
        return Verdict(True)
    if "__" in text:
        return Verdict(False, "the answer is no expression")
    source = f"TEXT = {text!r}\nREFERENCE = {reference!r}\n{_PARSE}{_VERIFY}"
    outcome = await evaluate(sandbox, source, seconds=_SECONDS)
    return Verdict(outcome.ok and outcome.value is True, why(outcome))


def _whole(text: str) -> str | None:
    return text if 0 < len(text) <= _LONGEST_EXPRESSION else None


def _expression(text: str) -> str | None:
    """Take a text's one expression: the right-hand side, without what sets it off in a sentence."""
    text = text.strip().strip("$. ")
    if not any(separator in text for separator in (" and ", " or ", ", ")):
        for sign in ("=", "≈"):
            text = text.rpartition(sign)[2]
    text = text.strip().strip("$. ")
    return text if _worth_parsing(text) else None


def _worth_parsing(text: str) -> bool:
    """Whether a text may be one expression: it has a sign of mathematics, and few plain words."""
    if not 0 < len(text) <= _LONGEST_EXPRESSION:
        return False
    words = [word for word in text.split() if word.isalpha() and len(word) > 3]
    has_sign = any(character.isdigit() or character in "\\πe√E" for character in text)
    if not all(map(str.isascii, filter(str.isdigit, text))) or _GROUPED.search(text):
        return False
    several = any(separator in text for separator in (" and ", " or ", ", ", ";", "\n"))
    return has_sign and not words and not several and "±" not in text
