"""The marks around code and solutions, and all text that speaks of them.

A conversation whose marks are changed must not mention the old ones. Known instructions (ours and
the published ones) get new sentences; elsewhere the name of a tag becomes the name of the form.
`contradictions` finds what is left.
"""

import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import NamedTuple

from pydantic import Field

from codeact.collection.actions import TAGS, actions, blanked
from codeact.collection.settings import Replacement
from codeact.episode.settings import Settings


class Marks(Settings):
    """The marks before and after, in place of a tag's start and end.

    Marks whose `open` ends with a newline are on lines of their own. `name` is what sentences call
    the form, such as ``a fenced code block``; empty means the marks themselves.
    """

    open: str = Field(min_length=1)
    """The text before."""
    close: str = Field(min_length=1)
    """The text after."""
    name: str = ""
    """What sentences call the form; empty is the marks themselves."""

    @property
    def called(self) -> str:
        return self.name or f"{self.open.strip()} … {self.close.strip()}"


class TagSettings(Settings):
    """What the tags around code and around a solution are written as; None keeps them.

    `words` are texts of your own instructions, and what they have to say in this form.
    """

    execute: Marks | None
    """The marks around code: {open, close}; null keeps what the model wrote."""
    solution: Marks | None
    """The marks around a solution: {open, close}; null keeps what the model wrote."""
    words: list[Replacement] = Field(default_factory=list)
    """Further texts of the instruction that this form changes: a list of {old, new}."""

    @cached_property
    def marks(self) -> dict[str, Marks]:
        """The marks of those tags that are not kept."""
        chosen = {"execute": self.execute, "solution": self.solution}
        return {tag: marks for tag, marks in chosen.items() if marks is not None}

    @cached_property
    def sentences(self) -> list[tuple[str, str]]:
        """Known texts about the tags that change, and what they say in this form, in order."""
        found = [(one.old, one.new) for one in self.words]
        if self.marks:
            found += _THOUGHT_SENTENCES
        for tag, old, new in _SENTENCES:
            if tag in self.marks:
                found.append((old, new.format(name=self.marks[tag].called)))
        return found


class _Sentence(NamedTuple):
    """What a known instruction says of a tag, and what it says instead."""

    tag: str
    old: str
    new: str


_SENTENCES = (
    _Sentence("execute", "Put the code between execute tags", "Put the code in {name}"),
    _Sentence("solution", "asks for, between solution tags", "asks for, in {name}"),
    _Sentence(
        "execute",
        'Your code should be enclosed using "<execute>" tag',
        "Your code should be written in {name}",
    ),
    _Sentence(
        "solution",
        'Your solution should be enclosed using "<solution>" tag',
        "Your solution should be written in {name}",
    ),
    _Sentence("execute", "in <execute> environment", "in the Python environment"),
)
_THOUGHT_SENTENCES = (
    (
        "write your reasoning between thought tags, for example:\n"
        "<thought> I should add the two prices. </thought>\nThen",
        "write your reasoning. Then",
    ),
    (
        'Your thought process should be enclosed using "<thought>" tag, for example: '
        '<thought> I need to print "Hello World!" </thought>.\n\n',
        "",
    ),
)
"""In a conversation thoughts stand between no tags, whatever the form."""
_THOUGHTS = "plain text"

_TASK = "Task:\n"
_OBSERVATION = "Observation:\n"
FEEDBACK = "\nExpert feedback:\n"


def rewritten(text: str, tags: TagSettings) -> str:
    """A message in another form, with all that it says about the form; kept tags stay untouched.

    What is between two tags loses the white space at its ends, which the protocol ignores, and
    stays the same otherwise.
    """
    return rewritten_at(text, len(text), tags)[0]


def rewritten_at(text: str, place: int, tags: TagSettings) -> tuple[str, int]:
    """A message in another form, and where in it the first `place` characters of the old one end.

    The place must not lie within an action.
    """
    marks = tags.marks
    head, tail = _instructed(text[:place], tags), _instructed(text[place:], tags)
    if not marks:
        return head + tail, len(head)
    writer = _Writer(marks)
    observed = text.startswith(_OBSERVATION)
    for part, is_prose in _parts(head, observed):
        writer.add(part, is_prose=is_prose)
    if not tail:
        return writer.text, len(writer.text)
    end = len(writer.text)
    for part, is_prose in _parts(tail, observed):
        writer.add(part, is_prose=is_prose)
    return writer.text, min(end, len(writer.text))


def contradictions(text: str, role: str, tags: TagSettings) -> list[str]:
    """What a message in another form still says of tags that are not written in it.

    Looks for the tags themselves everywhere, and for words about them in prose; what the
    interpreter printed and what a task asks for may speak of tags of other kinds.
    """
    marks = tags.marks
    if not marks:
        return []
    found = re.findall(rf"</?(?:{'|'.join(marks)})\b[^\n]{{0,20}}", text)
    for part, is_prose in _parts(text, text.startswith(_OBSERVATION)):
        if is_prose and "tag" in part.lower():
            found += [one[0] for one in _named(marks).finditer(part)]
            if role == "system":
                found += _RULE.findall(part)
    return found


_RULE = re.compile(
    r"\b(?:between|within|inside|in|with|using|use|enclose\w*|wrap\w*|put)\b[^.\n]{0,40}\btags?\b",
    re.IGNORECASE,
)
"""Words about tags in an unknown instruction."""


def taken_marks(text: str, tags: TagSettings) -> list[str]:
    """Marks of a block that a turn of the model has already, around what is no action.

    In this form it would be an action, to which the environment did not answer as to one.
    """
    found = []
    for marks in tags.marks.values():
        fence = _FENCE.match(marks.open)
        own = fence[0] if fence else marks.open.strip()
        if marks.open.endswith("\n") and own in blanked(text, actions(text)):
            found.append(own)
    return found


def _parts(text: str, observed: bool) -> Iterator[tuple[str, bool]]:
    """A message in parts, and whether each is somebody's prose: all but what was printed is."""
    if not observed:
        yield text, not text.startswith(_TASK)
        return
    printed, heading, feedback = text.partition(FEEDBACK)
    yield printed, False
    yield heading + feedback, True


def _instructed(text: str, tags: TagSettings) -> str:
    if not text:
        return text
    for old, new in tags.sentences:
        text = text.replace(old, new)
    return text


class _TagPair(NamedTuple):
    tag: str
    start: int
    end: int
    inner: str


_BETWEEN = {"and", "or", "to", "&", "/", ","}
"""Stands between two tags of which only their names are meant."""


def _pairs(text: str) -> list[_TagPair]:
    """Tags that belong together, in their order, the outer of two that are one in the other.

    An instruction names a tag before its example, so only the last beginning has an end.
    """
    found: list[_TagPair] = []
    for tag in TAGS:
        opened, closed, position = f"<{tag}>", f"</{tag}>", 0
        while (close := text.find(closed, position)) >= 0:
            start = text.rfind(opened, position, close)
            position = close + len(closed)
            if start >= 0:
                inner = text[start + len(opened) : close].strip()
                found.append(_TagPair(tag, start, position, inner))
    found.sort(key=lambda one: one.start)
    outer: list[_TagPair] = []
    for one in found:
        if one.inner not in _BETWEEN and (not outer or one.start >= outer[-1].end):
            outer.append(one)
    return outer


class _Writer:
    """Puts a message together again, with marks on lines of their own where they belong there."""

    def __init__(self, marks: Mapping[str, Marks]) -> None:
        self._marks = marks
        self._pieces: list[str] = []
        self._after_block = False

    @property
    def text(self) -> str:
        return "".join(self._pieces)

    def add(self, part: str, *, is_prose: bool) -> None:
        position = 0
        for pair in _pairs(part):
            self._append(_mentions(part[position : pair.start], self._marks, is_prose=is_prose))
            if marks := self._marks.get(pair.tag):
                self._mark(pair.inner, marks)
            else:
                self._append(part[pair.start : pair.end])
            position = pair.end
        self._append(_mentions(part[position:], self._marks, is_prose=is_prose))

    def _mark(self, inner: str, marks: Marks) -> None:
        opened, closed = _longer_than(inner, marks)
        is_block = opened.endswith("\n")
        if is_block:
            self._end_line()
        self._append(f"{opened}{inner}{closed}")
        self._after_block = is_block

    def _end_line(self) -> None:
        """Start a new line before the next text."""
        last = ""
        while self._pieces and not last:
            last = self._pieces.pop().rstrip(" \t")
        if last:
            self._pieces.append(last if last.endswith("\n") else last + "\n")
        self._after_block = False

    def _append(self, text: str) -> None:
        if self._after_block:
            # The line of a closing fence holds nothing else, or it closes nothing.
            text = _REST_OF_SENTENCE.sub("", text, count=1)
            if text and not text.startswith("\n"):
                text = "\n" + text
        if text:
            self._after_block = False
            self._pieces.append(text)


_REST_OF_SENTENCE = re.compile(r"\A[ \t]*(?:[.,;:](?=\s|\Z))?[ \t]*")


_FENCE = re.compile(r"`{3,}|~{3,}")


def _longer_than(inner: str, marks: Marks) -> tuple[str, str]:
    """The marks; a fence is made longer than any in what it holds."""
    fence = _FENCE.match(marks.open)
    if not fence:
        return marks.open, marks.close
    longest = max((len(one[0]) for one in _FENCE.finditer(inner)), default=0)
    more = fence[0][0] * max(longest + 1 - len(fence[0]), 0)
    return more + marks.open, marks.close + more


_TAG_WORD = re.compile(r"\btags?\b", re.IGNORECASE)
_QUOTE = "[\"'`“”]?"
_ADJECTIVE = "(?:proper|correct|appropriate|right|required|necessary|following) "
_FORMAT = re.compile(
    r"\b(?:(?P<these>these|those)|(?P<one>correct|proper|appropriate|right|required|necessary|"
    r"specified|provided|same|needed|this|such|any|other|missing|following|both|all))(?P<of> the)?"
    r" tags?\b",
    re.IGNORECASE,
)


def _named(marks: Mapping[str, Marks]) -> "re.Pattern[str]":
    """Any words that name one of the tags, or tags of which they do not say the name."""
    names = "|".join((*marks, "thought"))
    one = rf"(?:\b(?:the|an?) (?:{_ADJECTIVE})?)?{_QUOTE}\b(?P<tag>{names}){_QUOTE}[ \t]+tags?\b"
    return re.compile(f"{one}|{_FORMAT.pattern}", re.IGNORECASE)


def _mentions(text: str, marks: Mapping[str, Marks], *, is_prose: bool) -> str:
    """Prose in which the form goes by its own name, and no tag stands alone."""
    if "<" in text:
        text = _alone(text, marks)
    if not is_prose:
        return text
    for one in marks.values():
        if not one.open.endswith("\n") and one.open in text:
            text = _emphasis(one).sub(r"\1", text)
    if "tag" not in text.lower():
        return text
    return _named(marks).sub(lambda found: _instead(found, marks), text)


def _emphasis(marks: Marks) -> "re.Pattern[str]":
    """Words that have the marks already, which would make them a solution."""
    opened, closed = re.escape(marks.open), re.escape(marks.close)
    return re.compile(rf"(?<!\w){opened}(?=\S)([^\n]{{1,400}}?)(?<=\S){closed}(?!\w)")


def _instead(found: "re.Match[str]", marks: Mapping[str, Marks]) -> str:
    if found["tag"]:
        tag = found["tag"].lower()
        return _capital(marks[tag].called if tag in marks else _THOUGHTS, found[0])
    if found["these"]:
        return _capital("this format", found[0])
    return _TAG_WORD.sub("format", found[0])


_TAG_ALONE = re.compile(
    rf"(?:(?P<line>^[ \t]*)|\b(?P<article>[Tt]he|[Aa]n?) (?:{_ADJECTIVE})?)?(?P<quote>{_QUOTE})"
    r"<(?P<end>/?)(?P<tag>execute|solution|thought)>"
    rf"{_QUOTE}(?:[ \t]+(?:and|or|to)[ \t]+{_QUOTE}</(?P=tag)>{_QUOTE})?"
    r"(?P<noun>[ \t]+(?:tags?|blocks?|environment)\b)?(?P<newline>\n)?",
    re.MULTILINE,
)
"""A tag that stands for no action: someone speaks of it, or it has no other end."""


def _alone(text: str, marks: Mapping[str, Marks]) -> str:
    def instead(found: "re.Match[str]") -> str:
        tag, line, newline = found["tag"], found["line"] or "", found["newline"] or ""
        spoken_of = found["article"] or found["quote"] or found["noun"]
        if tag == "thought":
            return line + (_THOUGHTS if spoken_of else "") + newline
        if tag not in marks:
            return found[0]
        if not spoken_of and found["end"]:
            return line + newline
        if not spoken_of and found["line"] is not None:
            opened = marks[tag].open
            return line + (opened if opened.endswith("\n") else opened + newline)
        return line + _capital(marks[tag].called, found["article"] or "") + newline

    return _TAG_ALONE.sub(instead, text)


_THOUGHT_NAMED = re.compile(
    rf"(?:\b(?:the|an?) (?:{_ADJECTIVE})?)?{_QUOTE}</?thought>{_QUOTE}[ \t]+tags?\b|"
    r"\b(?:the |a )?thought tags?\b",
    re.IGNORECASE,
)
_THOUGHT_TAG = re.compile(r"</?thought>[ \t]*")


def thoughts_untagged(prose: str) -> str:
    """Prose without tags around thoughts, and without words about them."""
    if "thought" not in prose.lower():
        return prose
    named = _THOUGHT_NAMED.sub(lambda found: _capital(_THOUGHTS, found[0]), prose)
    return _THOUGHT_TAG.sub("", named)


def _capital(name: str, instead_of: str) -> str:
    return name[:1].upper() + name[1:] if instead_of[:1].isupper() else name
