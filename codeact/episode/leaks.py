"""Whether a comment on a turn gives the task's answer away.

It does when it says what neither the task nor the episode so far has said: the answer, the answer's
number, or lines of its code. Some answers say little by themselves: a digit, yes, a letter among
options, a name out of the task. Only words that call such a text the answer give it away, and only
while the policy has not found it.
"""

import math
import re
import unicodedata
from collections.abc import Iterator
from functools import cached_property
from itertools import islice
from typing import NamedTuple, Self

from codeact.episode import protocol
from codeact.episode.effects import Turn
from codeact.episode.messages import Message, as_text
from codeact.episode.task import Task

_LONGEST = 200_000
"""Characters of a text that are looked at."""
_LATEX = re.compile(
    r"\\(?:left|right|text|mathrm|mathbf|boxed|displaystyle)\b|\\[,;!: ]|(?<=\d)\{,\}"
)
_NUMERAL = r"(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?(?:e[+-]?\d{1,3})?"
_TOKEN = re.compile(rf"(?:(?<![\w.)\]}}])-)?{_NUMERAL}|(?<!\w)\.\d+|[^\W\d_]+")
_FRACTION = re.compile(
    r"(?<![\w./])(-?\d{1,15})\s?/\s?(\d{1,15})(?![\w/])|(-?)\\[dt]?frac\{(\d{1,15})\}\{(\d{1,15})\}"
)
_NOT_WORDS = {"a", "an", "the", "frac", "dfrac", "tfrac"}
_CLOSED = {"yes": "no", "no": "yes", "true": "false", "false": "true"}
"""Answers to a question that admits two, each with the other one."""
_LONGEST_NUMERAL = 40
_EXACT = 1e15
_SMALL = 10
"""Whole numbers below it stand in any text."""
_DIGITS = 3
"""A number that is given to so many digits is the one it rounds, and no accident."""

_CALLED = r"(?:answer|solution|result|output|option|choice|response|statement|value)"
_CALLS = re.compile(
    rf"\b(?:right|correct|final|true|actual|expected)\s+{_CALLED}\b|\b(?:answer|option|choice)\b",
    re.IGNORECASE,
)
_IS = re.compile(r"\b(?:is|are|be|was|were|being|equals?|gives?|get)\b|[:=]", re.IGNORECASE)
_CHOOSES = re.compile(
    r"\b(?:corresponds?\s+to|matches|selects?|chooses?|pick|propose|submit|answer(?:ed)?\s+with)\s+"
    r"(?:the\s+)?(?:option|choice|answer)?(?![\w])|<solution>",
    re.IGNORECASE,
)
_DENIES = re.compile(
    r"\b(?:not|never|rather than|instead of|isn['’]t|wasn['’]t|incorrect|wrong)\b", re.IGNORECASE
)
_CLAUSE_END = re.compile(r"[.!?;](?=\s|$)|\n|, (?:but|not|so|which|and)\b")
_OPTION = re.compile(r"(?:^|(?<=[\s,(]))\(?([A-Za-z])\s?\)\s*(.+?)(?=,?\s+\(?[A-Za-z]\s?\)|\s*$)")
_LETTER = re.compile(
    r"[\s\"'*:]*(?:(?i:option|choice|answer)\b)?[\s\"'*]*"
    r"(?:(?P<named>[A-Z])(?![\w'’])|(?P<in_brackets>\([A-Za-z]\)|[A-Za-z]\s?\)|[\"'][A-Za-z][\"']))"
)
_WINDOW = 100
"""Characters after a verb in which an answer begins."""
_MOST_VERBS = 2000
_OUTPUT_NUMBER = re.compile(r"^Out\[\d+\]:\s*", re.MULTILINE)

_SHOWN = 500
"""Characters of what is given away, in a record."""
_SHORTEST_LINE = 12
"""Characters, without white space, of a line of code that says something."""


class Known(NamedTuple):
    """What a comment is held against.

    `secrets` are forms of the answer, `code` says that they are code. `said` is all that the policy
    wrote and read before the comment, and `reached` the answers that it proposed and the outputs of
    its cells.
    """

    secrets: tuple[str, ...]
    task: str
    said: str
    reached: tuple[str, ...] = ()
    code: bool = False

    @classmethod
    def of(
        cls,
        task: Task,
        answer: str | None,
        messages: list[Message],
        turns: list[Turn],
        *,
        code: bool,
    ) -> Self:
        """Take it from an episode; `answer` is a right one, where the reference is none itself.

        What the harness says by itself (how to act, what is left) tells nothing of the task.
        """
        written = [as_text(m) for m in messages if m["role"] == "assistant"]
        observed = [t.observation for t in turns if t.observation != protocol.PARSE_FAILURE]
        secrets = [str(task.reference), *([] if answer is None else [answer])]
        return cls(
            secrets=tuple(dict.fromkeys(secrets)),
            task=task.prompt,
            said="\n".join([*written, *observed, *(t.feedback for t in turns if t.feedback)]),
            reached=tuple(t.content if t.action == "propose" else t.observation for t in turns),
            code=code,
        )


def find_leaks(comment: str, known: Known) -> tuple[str, ...]:
    """Return what the comment gives away, each as ``answer: …``, ``number: …`` or ``code: …``.

    Takes time linear in the length of the texts.
    """
    found = _leaked_code(comment, known) if known.code else _leaked_answers(comment, known)
    return tuple(dict.fromkeys(found))


class _Text:
    """A text as words and numbers, without case, accents, punctuation, articles and LaTeX."""

    def __init__(self, raw: str) -> None:
        self.raw = raw[:_LONGEST]

    @cached_property
    def tokens(self) -> list[str]:
        plain = unicodedata.normalize("NFKD", _LATEX.sub(" ", self.raw)).casefold()
        plain = "".join(c for c in plain if not unicodedata.combining(c)).replace("−", "-")
        found = (_plain_token(token) for token in _TOKEN.findall(plain))
        return [token for token in found if token not in _NOT_WORDS]

    @cached_property
    def joined(self) -> str:
        return f" {' '.join(self.tokens)} "

    @cached_property
    def numbers(self) -> list[tuple[float, int]]:
        """Every number, and how many significant digits it is given to."""
        return [(float(t), _digits(t)) for t in self.tokens if _is_number(t)] + [
            (value, 15) for value in _fractions(self.raw)
        ]

    @cached_property
    def value(self) -> tuple[float, int] | None:
        """The number that the text is, None where it is anything else."""
        fractions = list(_fractions(self.raw))
        if fractions and len(self.tokens) == 2:
            return fractions[0], 15
        if len(self.tokens) == 1 and _is_number(self.tokens[0]):
            return float(self.tokens[0]), _digits(self.tokens[0])
        return None

    def names(self, secret: "_Text") -> bool:
        """Whether this text has the other's words in a row, or its number."""
        if secret.value is not None:
            return any(_same(secret.value, number) for number in self.numbers)
        return secret.joined in self.joined


def _plain_token(token: str) -> str:
    token = token.replace(",", "")
    if not _is_number(token):
        return token
    value = float(token)
    return str(int(value)) if value.is_integer() and abs(value) < _EXACT else token


def _is_number(token: str) -> bool:
    return token[-1].isdecimal() and len(token) <= _LONGEST_NUMERAL and math.isfinite(float(token))


def _digits(token: str) -> int:
    mantissa = token.partition("e")[0].lstrip("-0.").replace(".", "")
    return len(mantissa)


def _fractions(raw: str) -> Iterator[float]:
    for over, under, sign, latex_over, latex_under in _FRACTION.findall(raw):
        if below := int(under or latex_under):
            yield (-1 if sign else 1) * int(over or latex_over) / below


def _same(secret: tuple[float, int], number: tuple[float, int]) -> bool:
    """Equal, or one of them rounded to the digits of the other, if those are enough."""
    (one, digits), (other, others) = secret, number
    if math.isclose(one, other, rel_tol=1e-9):
        return True
    fewest = min(digits, others)
    return fewest >= _DIGITS and f"{one:.{fewest}g}" == f"{other:.{fewest}g}"


def _leaked_answers(comment: str, known: Known) -> Iterator[str]:
    told, task, said = _Text(comment), _Text(known.task), _Text(known.said)
    for secret in map(_Text, known.secrets):
        if not secret.tokens:
            continue
        kind = "number" if secret.value else "answer"
        if _says_little(secret) or task.names(secret):
            leaked = _is_chosen(comment, secret, known) or _names_option(told, secret, known)
        else:
            leaked = told.names(secret) and not said.names(secret)
        if leaked:
            yield f"{kind}: {secret.raw.strip()[:_SHOWN]}"


def _is_chosen(comment: str, secret: _Text, known: Known) -> bool:
    """Whether the comment calls it the answer, before the policy has come to it."""
    other = _CLOSED.get(secret.joined.strip())
    if other and _calls_it_answer(comment, _Text(other)):
        return False  # it names what there is to choose from
    options = _options(known.task)
    forms = [secret, *(one for letter, one in options if letter == _letter(secret))]
    return any(_calls_it_answer(comment, form) for form in forms) and not any(
        _has_reached(known, form) or _says_it_is(known.said, form) for form in forms
    )


def _says_little(secret: _Text) -> bool:
    """Whether a comment may well name it without a thought of the answer."""
    if secret.value is not None:
        value, _ = secret.value
        return value.is_integer() and abs(value) < _SMALL
    (first, *more) = secret.tokens or [""]
    return not more and (first in _CLOSED or len(first) <= 1)


def _options(task: str) -> list[tuple[str, _Text]]:
    """Return the letters of a task's options, and what they stand for."""
    return [(letter.casefold(), _Text(text)) for letter, text in _OPTION.findall(task)]


def _names_option(comment: _Text, secret: _Text, known: Known) -> bool:
    """Whether the comment has what the right option stands for, and no other option.

    One that says little does not count, nor one that the question or the episode names too.
    """
    options = _options(known.task)
    right = [option for letter, option in options if letter == _letter(secret)]
    if len(right) != 1 or _says_little(right[0]) or not comment.names(right[0]):
        return False
    others = [option for letter, option in options if letter != _letter(secret)]
    elsewhere = _Text(known.task.replace(right[0].raw, " ")), _Text(known.said)
    return not any(text.names(right[0]) for text in elsewhere) and not any(
        comment.names(other) for other in others
    )


def _letter(secret: _Text) -> str:
    """The letter that a secret is; empty if it is more than that."""
    letter = secret.joined.strip()
    return letter if len(letter) == 1 and letter.isalpha() else ""


def _calls_it_answer(text: str, secret: _Text) -> bool:
    """Whether a clause says that the secret is the answer."""
    for clause in _CLAUSE_END.split(text[:_LONGEST]):
        if _DENIES.search(clause):
            continue
        called = _CALLS.search(clause)
        said = None if called is None else _IS.search(clause, called.end())
        chosen = islice(_CHOOSES.finditer(clause), _MOST_VERBS)
        if any(_begins_with(clause, verb.end(), secret) for verb in (said, *chosen) if verb):
            return True
    return False


def _says_it_is(text: str, secret: _Text) -> bool:
    """Whether the text says of anything that it is the secret, or chooses that."""
    text = text[:_LONGEST]
    return any(
        _begins_with(text, verb.end(), secret)
        for pattern in (_IS, _CHOOSES)
        for verb in islice(pattern.finditer(text), _MOST_VERBS)
    )


def _begins_with(text: str, start: int, secret: _Text) -> bool:
    text = text[start : start + _WINDOW]
    letter = secret.raw.strip(" ().'\"")
    if len(letter) == 1 and letter.isalpha():
        found = _LETTER.match(text)
        # Without brackets, a small letter may be a word or a variable.
        return found is not None and letter.upper() in (
            found["named"] or found["in_brackets"].upper()
        )
    return _Text(text).joined.startswith(secret.joined)


def _has_reached(known: Known, secret: _Text) -> bool:
    """Whether the policy has proposed the secret, or seen it as an output."""
    for one in known.reached:
        if any(
            _Text(line).joined == secret.joined for line in _OUTPUT_NUMBER.sub("", one).splitlines()
        ):
            return True
    return False


def _leaked_code(comment: str, known: Known) -> Iterator[str]:
    """Yield lines of the answer's code that are new in the comment."""
    told = _squeezed(comment)
    before = _squeezed(known.task) + "\n" + _squeezed(known.said)
    for secret in known.secrets:
        for line in secret[:_LONGEST].splitlines():
            squeezed = _squeezed(line)
            says = squeezed.removeprefix("return")
            if len(squeezed) >= _SHORTEST_LINE and squeezed in told and says not in before:
                yield f"code: {line.strip()[:_SHOWN]}"


def _squeezed(text: str) -> str:
    return "".join(text[:_LONGEST].split()).replace('"', "'")
