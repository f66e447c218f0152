"""Verdicts on short answers in words, such as those of HotpotQA."""

import re
import string

from codeact.episode.effects import Verdict
from codeact.episode.task import Task
from codeact.graders import truth
from codeact.graders.commitment import commitment, last_part
from codeact.graders.containment import close_or_contained
from codeact.graders.lists import listed
from codeact.graders.unicode import without_marks
from codeact.sandboxes.base import Sandbox

_ARTICLES = {"a", "an", "the"}
_PREDICATES = {"is", "was", "are", "were", "than", "therefore"}
_LONGEST_SENTENCE = 40
_LONGEST_ITEM = 4
_NAMELESS = {"it", "its", "is", "was", "are", "were", "they", "he", "she", "that", "this", "answer"}
_NO_END = "\u2024"
"""A dot that decomposes to a full stop; splitting into sentences must not take it for one."""
_REASONS = {"because", "since", "as", "for"}
_REASON = re.compile(r"(?i)\b(?:because|since)\b|, (?:as|for)\b(?! well)")
_DASHES = str.maketrans({**dict.fromkeys("-–—/", " "), "&": " and "})
_PUNCTUATION = str.maketrans("", "", string.punctuation + "“”‘’…")


async def mint(task: Task, answer: str, _sandbox: Sandbox) -> Verdict:
    """Grade as published: a text that contains the reference, or a number close to it."""
    return close_or_contained(task, answer)


async def strict(task: Task, answer: str, _sandbox: Sandbox) -> Verdict:
    """Grade by exact match as SQuAD normalises it, of the answer or of its last part.

    A sentence may also contain the reference, unless it denies, doubts or lists. If the question
    names the reference too, the sentence may be about the other candidate: then it must be the
    sentence's subject, and all else in it the question's own words.
    """
    reference = str(task.reference)
    if reference.strip().lower() in truth.TRUTH:
        return await truth.strict(task, answer, _sandbox)
    wanted, asked = normalise(reference), normalise(task.prompt)
    # A full stop within the reference (A. E. Housman) ends no sentence.
    found = commitment(
        answer.replace(reference, reference.replace(". ", f"{_NO_END} ")),
        lambda text: _states(text, wanted, asked),
        own=lambda _: reference,
        question=task.prompt,
    )
    detail = "" if found.value else "the answer says something else"
    return Verdict(found.value is True, found.problem or detail)


def _states(text: str, wanted: list[str], asked: list[str]) -> bool | None:
    """Whether a text says the wanted words; None if it is too long to say just something else."""
    if _says(text, wanted, asked):
        return True
    names = set(normalise(text)) - _NAMELESS
    return False if names and len(text.split()) <= _LONGEST_ITEM else None


def _says(text: str, wanted: list[str], asked: list[str]) -> bool:
    if wanted == normalise(text):
        return True
    lines = [line for line in text.splitlines() if line.strip()]
    if len(lines) > 1:
        rest = [words for words in map(normalise, lines) if words != wanted]
        several = any(len(words) <= _LONGEST_ITEM for words in rest)
        return not several and any(_says(line, wanted, asked) for line in (lines[0], lines[-1]))
    reason = None if _REASONS & set(wanted) else _REASON.search(text)
    if reason and normalise(text[: reason.start()]):
        text = text[: reason.start()]
    return wanted == normalise(last_part(text)) or _contained(text, wanted, asked)


def _contained(text: str, wanted: list[str], asked: list[str]) -> bool:
    """Whether a sentence is about the wanted words, and no others."""
    given = normalise(text)
    if not 0 < len(given) <= _LONGEST_SENTENCE:
        return False
    if _contains(asked, wanted):
        sentence = normalise(text.strip().rstrip(".").rpartition(". ")[2])
        return sentence[: len(wanted)] == wanted and set(sentence) <= {*asked, *_PREDICATES}
    return _contains(given, wanted) and not listed(text, wanted, normalise)


def normalise(text: str) -> list[str]:
    """Lower-case, without accents, punctuation and articles, as words (SQuAD's evaluator)."""
    bare = without_marks(text.lower().translate(_DASHES))
    return [word for word in bare.translate(_PUNCTUATION).split() if word not in _ARTICLES]


def _contains(words: list[str], wanted: list[str]) -> bool:
    return f" {' '.join(wanted)} " in f" {' '.join(words)} "
