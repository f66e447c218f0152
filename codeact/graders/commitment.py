r"""Decides what an answer commits to: the one value that it asserts, or nothing.

A grader gives `commitment` a function that reads a value (a number, a letter, a truth value) off a
piece of text. This module finds the pieces that state a result and refuses the answer if it denies
or doubts its value, offers several, or takes it back. The rules:

- Only what stands in the last solution tag counts, and nothing that is struck out.
- A result that is marked (``the answer is``, ``answer:``, ``\boxed{}``) stands for the answer. A
  ``final answer`` outranks the others. Marked results that differ are several answers.
- What repeats the question, or a long sentence of it, says nothing.
- A sentence that denies, doubts, bounds or offers alternatives commits to nothing, unless those
  words are the reference's own, or the question asks for what is not so.
- ``X rather than Y``, ``X, not Y`` and ``X, because Y is wrong`` commit to X.
- A later correction (``wait``, ``actually C``, ``that is wrong``) is not followed: an answer that
  takes something back commits to nothing. Remarks on other values do no harm.
- What cannot be decided is no commitment, and `Commitment.problem` says why.

Texts longer than `LONGEST` characters commit to nothing. Every step is linear in the text.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, NamedTuple

from codeact.graders import cues

LONGEST = 10_000
"""The most characters that an answer may have and still commit to anything."""

NO_VALUE = "the answer does not commit to one value"

_MOST_PARTS = 30
_BARE = 3
_QUOTED = 8
"""The fewest words of a sentence that nobody writes again but by quoting it."""
_TAGS = ("<solution>", "</solution>", "<sol>", "</sol>")
_MARKUP = re.compile(r"</?[A-Za-z][\w-]{0,20}>")
_MARK = re.compile(
    r"(?i)\b(?P<final>final )?(?:(?:answer|solution|result)(?: is\b|:)(?:[*_]{0,2}:)?"
    r"|(?<=final )(?:answer|solution|result))\s*"
)
_SENTENCE = re.compile(r"(?<=[.!?;])(?<!\.\.\.)[\"')\]*_]{0,3}\s+|\n+")
_ABBREVIATED = re.compile(
    r"(?:\b[A-Z][\w'’]{1,30} [A-Z]\.|\b[A-Z]\.(?:[A-Z]\.)+|\b(?:[A-Z] ?\. ){1,3}[A-Z]\."
    r"|\b(?:St|Mr|Mrs|Ms|Dr|Prof|Jr|Sr|Adm|Gen|Col|Maj|Capt|Cpt|Lt|Sgt|Rev|Hon|Gov|Sen|Rep|Pres|Inc"
    r"|Corp|Co|Ltd|Bros|Vol|Op|Ave|vs|v|e\.g|i\.e|approx|ca?|Mt|Ft)\.)\Z"
)
_LEAD = re.compile(r"(?i)[,;:—]|\b(?:but|so|thus|hence|therefore|and)\b")
_STRUCK = (("~~", "~~"), ("<s>", "</s>"), ("<del>", "</del>"), ("<strike>", "</strike>"))
_CROSSED = re.compile("[\u0335-\u0338]|\\\\(?:x|b)?cancel\\b|\\\\sout\\b|\\\\st\\{")
_BOX = "\\boxed{"


class Commitment(NamedTuple):
    """What an answer commits to. `value` is None if it is nothing; then `problem` says why."""

    value: Any
    text: str = ""
    problem: str = ""


class _Statement(NamedTuple):
    lead: str
    text: str
    after: str
    final: bool


def commitment(
    answer: str,
    read: Callable[[str], Any],
    *,
    own: Callable[[Any], str] = lambda _: "",
    question: str = "",
    truth: bool = False,
    bounds: bool = False,
    whole: bool = False,
) -> Commitment:
    """Find the one value that `answer` commits to.

    `read` returns the value that a piece of text states, None if there is none or more than one.
    `own` returns the text whose cue words are no cues for a value (the reference, an option).
    If `question` asks for what is not so, an answer may deny in its words. `truth` says that yes
    and no are values; `bounds` that values are numbers, for which ``less than`` is no commitment;
    `whole` that a statement is one value with all its full stops.
    """
    if len(answer) > LONGEST:
        return Commitment(None, problem=f"the answer is longer than {LONGEST:,} characters")
    text, problem = cleaned(answer)
    if problem:
        return Commitment(None, problem=problem)
    reading = _Reading(
        read, own, set(cues.plain(question)), truth=truth, bounds=bounds, whole=whole
    )
    everything = _Statement("", bare(text), "", False)
    exact = reading.exact(everything.text)
    if not exact:
        text = _unquoted(text, question)
        everything = _Statement("", bare(text), "", False)
    statements = [everything] if exact else _statements(text) or [everything]
    found = [reading.of(statement) for statement in statements]
    stated = [one for one in found if one.value is not None]
    refused = next((one for one in stated or found if one.problem), None)
    if refused is not None:
        return Commitment(None, problem=refused.problem)
    if not stated:
        return Commitment(None, problem=NO_VALUE)
    if any(one.value != stated[-1].value for one in stated):
        return Commitment(None, problem="the answer states several results")
    return stated[-1]


def cleaned(answer: str) -> tuple[str, str]:
    """Take what stands in the last tag, less what is struck out; and what is wrong with it."""
    text = answer
    for tag in _TAGS:
        if tag in text:
            before, _, after = text.rpartition(tag)
            text = before if tag.startswith("</") and not after.strip() else after
    for opening, closing in _STRUCK:
        pieces = text.split(opening) if opening == closing else None
        if pieces is not None and len(pieces) % 2 == 0:
            return "", "a part of the answer is struck out, and where it ends is not clear"
        text = " ".join(pieces[::2]) if pieces is not None else _without(text, opening, closing)
    if _CROSSED.search(text):
        return "", "a part of the answer is struck out"
    text = re.sub(r"[^\S\n]+", " ", _MARKUP.sub(" ", text))
    return re.sub(r"\n[\n ]*", "\n", text).strip(), ""


def _unquoted(text: str, question: str) -> str:
    """Take out the question, and its longer sentences, where an answer repeats them literally."""
    whole = re.sub(r"\n[\n ]*", "\n", re.sub(r"[^\S\n]+", " ", question)).strip()
    if len(whole.split()) >= _QUOTED:
        text = text.replace(whole, " ")
    for sentence in sentences(whole):
        if len(sentence.split()) >= _QUOTED:
            text = text.replace(sentence.strip(), " ")
    return text.strip()


def bare(text: str) -> str:
    """Take a statement without what sets it off: one line if all are equal, no Markdown marks."""
    lines = {line.strip() for line in text.splitlines() if line.strip()}
    if len(lines) == 1:
        text = lines.pop()
    return text.strip().strip("*_` ").strip()


def last_part(text: str) -> str:
    """Take what follows the last copula of a text's first line: ``x is 5`` -> ``5``."""
    line = text.strip().partition("\n")[0].rstrip(". ")
    for word in (" is ", " are ", " was ", " were ", " be "):
        line = line.rpartition(word)[2]
    return line.rpartition(":")[2].strip()


class _Reading:
    """Reads one statement after another and says what is wrong with them."""

    def __init__(
        self,
        read: Callable[[str], Any],
        own: Callable[[Any], str],
        asked: set[str],
        *,
        truth: bool,
        bounds: bool,
        whole: bool,
    ) -> None:
        # The same piece is looked at from several sides, and reading is most of the work.
        self.read, self.own, self.asked = cache(read), own, asked
        self.truth, self.bounds = truth, bounds
        self.parts = (lambda text: [text]) if whole else sentences

    def exact(self, text: str) -> bool:
        """Whether a text is a value's own (the reference, an option), word for word."""
        own = self.own(self.read(text))
        return bool(own) and cues.plain(text) == cues.plain(own)

    def of(self, statement: _Statement) -> Commitment:
        """Read the value of a statement, with the reason if it is not asserted."""
        whole = self._reading(statement, statement.text, [])
        if whole.value is not None and not whole.problem:
            return whole
        for text, remarks in self._heads(statement.text):
            head = self._reading(statement, text, remarks)
            if head.value is not None:
                return head
        return whole

    def _heads(self, text: str) -> Iterator[tuple[str, list[str]]]:
        """Cut off what contrasts or explains in the first sentence, if a value stands before it."""
        first, *others = self.parts(text) or [""]
        explained = cues.EXPLANATION.search(first)
        head, rest = first, ""
        if explained and self.read(bare(first[: explained.start()])) is not None:
            head, rest = first[: explained.start()], first[explained.start() :]
        contrast = cues.CONTRAST.search(head)
        if contrast and self._contrasts(head[: contrast.start()], head[contrast.end() :]):
            head = head[: contrast.start()]
        if head != first:
            yield bare(head), [rest, *others]

    def _contrasts(self, before: str, rest: str) -> bool:
        """Whether ``X, not …`` goes on with something else than X, and not with an adverb."""
        value = self.read(bare(before))
        if value is None or not rest.strip(" .)") or cues.JUDGEMENT.match(rest):
            return False
        return self.read(bare(rest)) != value and not cues.found(rest, truth=self.truth)

    def _reading(self, statement: _Statement, text: str, remarks: list[str]) -> Commitment:
        value = self.read(text)
        own = self.own(value)
        allowed = Counter(cues.found(own, bounds=self.bounds))
        parts = [text] if self.exact(text) else self.parts(text)
        stating = [part for part in parts if self._states(part, value)] or parts
        problem = self._denied(_LEAD.split(statement.lead)[-1], value, allowed)
        for part in stating:
            problem = problem or self._denied(part, value, allowed)
        for part in (*parts[1:], *remarks, *sentences(statement.after)):
            problem = problem or self._taken_back(part, value, allowed)
        for part in (*(parts if len(parts) > 1 else ()), *remarks):
            problem = problem or self._replaced(part, value)
        return Commitment(value, text, problem)

    def _denied(self, part: str, value: Any, allowed: "Counter[str]") -> str:
        if self.truth and value is not None and cues.led_by_truth(part):
            doubt = cues.doubt(cues.after_truth(part), value=value)
            if doubt:
                return f"the answer does not assert its value: {doubt!r}"
        else:
            extra = Counter(cues.found(part, bounds=self.bounds, truth=self.truth)) - allowed
            for cue in extra:
                if not self._echoes(cue, part):
                    return f"the answer does not assert its value: {cue!r}"
        correction = cues.CORRECTION.search(part)
        if correction and self.read(bare(part[: correction.start()])) is not None:
            return f"the answer corrects itself: {correction.group().strip()!r}"
        return ""

    def _echoes(self, cue: str, part: str) -> bool:
        """Whether a denial is what the question asks for: ``D is not one of the causes``."""
        if cue not in cues.NEGATORS or not self.asked & cues.NEGATIVE:
            return False
        after = part[part.lower().find(cue) + len(cue) :]
        return len(after.split()) >= _BARE and not cues.JUDGEMENT.match(after)

    def _taken_back(self, part: str, value: Any, allowed: "Counter[str]") -> str:
        says_no = self.truth and value is False
        if cues.retracts(part) and not (says_no and cues.NO.match(part)):
            return f"the answer takes something back: {part.strip()[:60]!r}"
        if says_no:
            return ""
        about = cues.ABOUT_THE_ANSWER.match(part)
        if about and cues.judged_wrong(part[about.end() :]):
            return f"the answer denies or doubts its value: {part.strip()[:60]!r}"
        return self._denied(part, value, allowed) if self._states(part, value) else ""

    def _replaced(self, part: str, value: Any) -> str:
        """Look for another value that stands for itself, which leaves open which one is meant."""
        if len(part.split()) > _BARE or "=" in part or cues.found(part, truth=self.truth):
            return ""
        other = self.read(bare(part))
        several = value is not None and other is not None and other != value
        return "the answer states several results" if several else ""

    def _states(self, part: str, value: Any) -> bool:
        return value is not None and self.read(bare(part)) == value


def _statements(text: str) -> list[_Statement]:
    """List the marked results: the final ones, or all if none is called final."""
    marks = [mark for mark in _MARK.finditer(text) if text[mark.end() :].strip(" .")]
    if len(marks) > _MOST_PARTS:
        marks = marks[-_MOST_PARTS:]
    found: list[_Statement] = []
    for number, mark in enumerate(marks):
        until = marks[number + 1].start() if number + 1 < len(marks) else len(text)
        lead_from = marks[number - 1].end() if number else 0
        lead = _SENTENCE.split(text[lead_from : mark.start()])[-1]
        line, newline, after = text[mark.end() : until].lstrip(": \n").partition("\n")
        for content, boxed in _boxes(line) or [(bare(line), "")]:
            rest = boxed + newline + after
            found.append(_Statement(lead, bare(content), rest, bool(mark["final"])))
    if not marks:
        boxes = _boxes(text)
        found = [_Statement(*piece, final=False) for piece in _around(text, boxes)]
    final = [statement for statement in found if statement.final]
    return final or found


def _around(text: str, boxes: list[tuple[str, str]]) -> Iterator[tuple[str, str, str]]:
    before = text.partition(_BOX)[0]
    lead = _SENTENCE.split(before)[-1]
    for content, after in boxes:
        yield lead, bare(content), after
        lead = _SENTENCE.split(after)[-1]


def _boxes(text: str) -> list[tuple[str, str]]:
    r"""Every ``\boxed{…}``: its content, and the text up to the next one; unclosed, all of it."""
    found: list[tuple[str, str]] = []
    pieces = text.split(_BOX)[1:]
    for piece in pieces[-_MOST_PARTS:]:
        depth, end = 1, len(piece)
        for brace in re.finditer(r"[{}]", piece):
            depth += 1 if brace.group() == "{" else -1
            if depth == 0:
                end = brace.start()
                break
        found.append((piece[:end], piece[end + 1 :]))
    return found


def sentences(text: str) -> list[str]:
    """Split a text into sentences and lines; of very many, the first and the last."""
    parts: list[str] = []
    for part in _SENTENCE.split(text):
        if parts and _ABBREVIATED.search(parts[-1][-40:]):
            parts[-1] += f" {part}"
        else:
            parts.append(part)
    parts = [part for part in parts if part.strip(" .$*_`\"')(")]
    half = _MOST_PARTS // 2
    return parts if len(parts) <= _MOST_PARTS else parts[:half] + parts[-half:]


def _without(text: str, opening: str, closing: str) -> str:
    kept: list[str] = []
    position = 0
    while (start := text.find(opening, position)) >= 0:
        kept.append(text[position:start])
        end = text.find(closing, start)
        position = len(text) if end < 0 else end + len(closing)
    return " ".join([*kept, text[position:]])
