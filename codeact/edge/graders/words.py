"""Strict verdicts on words: yes or no, and the short answers of HotpotQA."""

import string
import unicodedata

from codeact.edge.graders.commitment import committed, last_part
from codeact.edge.sandboxes.base import Sandbox
from codeact.episode.effects import Verdict
from codeact.episode.task import Task

TRUTH = {"yes": True, "true": True, "no": False, "false": False}
_ARTICLES = {"a", "an", "the"}
_DOUBTS = {"not", "no", "or", "cannot", "unknown", "unable", "neither", "either", "nor"}
_PREDICATES = {"is", "was", "are", "were", "than", "therefore"}
_LONGEST_SENTENCE = 40
_DASHES = str.maketrans(dict.fromkeys("-–—/", " "))
_PUNCTUATION = str.maketrans("", "", string.punctuation + "“”‘’…")


async def short_answer(task: Task, answer: str, _sandbox: Sandbox) -> Verdict:
    """Grade hotpotqa: exact match as SQuAD normalises it, of the answer or of its last part.

    A sentence may also contain the reference, unless it doubts, denies or lists. If the question
    names the reference too, the sentence may be about the other candidate: then it must be the
    sentence's subject, and all else in it the question's own words.
    """
    reference = str(task.reference)
    if reference.strip().lower() in TRUTH:
        return await yes_or_no(task, answer, _sandbox)
    wanted, asked = normalise(reference), normalise(task.prompt)
    text = committed(answer)
    lines = [line for line in text.splitlines() if line.strip()] or [""]
    return Verdict(any(_says(line, wanted, asked) for line in (text, lines[0], lines[-1])))


def _says(text: str, wanted: list[str], asked: list[str]) -> bool:
    given, part = normalise(text), normalise(last_part(text))
    if wanted in (given, part):
        return True
    if not 0 < len(given) <= _LONGEST_SENTENCE or _DOUBTS & set(given) - set(wanted):
        return False
    if _contains(asked, wanted):
        sentence = normalise(text.strip().rstrip(".").rpartition(". ")[2])
        return sentence[: len(wanted)] == wanted and set(sentence) <= {*asked, *_PREDICATES}
    return _contains(given, wanted) and not _listed(part, wanted)


def _listed(words: list[str], wanted: list[str]) -> bool:
    """Whether the words name others beside the wanted ones: ``X, Y and Z``."""
    before, _, after = f" {' '.join(words)} ".partition(f" {' '.join(wanted)} ")
    return before.endswith(" and") or " and " in f" {after} "


async def yes_or_no(task: Task, answer: str, _sandbox: Sandbox) -> Verdict:
    """Grade strategyqa: the one truth value that the answer commits to."""
    text = committed(answer)
    said = truth(text)
    if said is None:
        said = truth(last_part(text))
    if said is None:
        return Verdict(False, "the answer commits neither to yes nor to no")
    return Verdict(said == TRUTH[str(task.reference).strip().lower()])


def truth(text: str) -> bool | None:
    """Read a truth value: the first word if it is one, else the only one there is."""
    words = [word.strip(string.punctuation + "“”") for word in text.lower().split()]
    first = TRUTH.get(words[0]) if words else None
    if first is not None:
        rest = {TRUTH[word] for word in words[1:3] if word in TRUTH}
        return None if rest - {first} else first
    said = {TRUTH[word] for word in words if word in TRUTH and word != "no"}
    return said.pop() if len(said) == 1 and "not" not in words else None


def normalise(text: str) -> list[str]:
    """Lower-case, without accents, punctuation and articles, as words (SQuAD's evaluator)."""
    decomposed = unicodedata.normalize("NFKD", text.lower().translate(_DASHES))
    bare = "".join(character for character in decomposed if not unicodedata.combining(character))
    return [word for word in bare.translate(_PUNCTUATION).split() if word not in _ARTICLES]


def _contains(words: list[str], wanted: list[str]) -> bool:
    return f" {' '.join(wanted)} " in f" {' '.join(words)} "
