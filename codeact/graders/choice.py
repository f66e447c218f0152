"""Verdicts on multiple choice: the options in a prompt, and the letter that an answer chooses."""

import re

from codeact.episode.effects import Verdict
from codeact.episode.task import Task
from codeact.graders.commitment import LONGEST, Commitment, commitment, last_part
from codeact.graders.containment import matches
from codeact.graders.numbers import single_number
from codeact.sandboxes.base import Sandbox

_TAILS = (". which option is correct?", ". which one is correct?")
_MARKER = re.compile(r"(?:^|,|\s)([A-Da-d]) ?\) ")
_ALONE = re.compile(r"[\"'(\[*$ ]{0,4}([A-Da-d])[\"')\]*$. :]{0,4}")
_LEADING = re.compile(
    r"[\"'(\[*$ ]{0,4}(?:([A-Da-d]) ?[).:](?!\w)|([A-D])(?= (?:is|was|are|isn|can|does|would)\b))"
)
_NAMED = re.compile(r"\b(?i:option|choice|answer) \(?([A-D]\b|[a-d]\))")
_MENTIONED = re.compile(r"(?<!\w)([A-D]) ?\)")
_LETTER = re.compile(
    r"(?<![\w^_{\\'’.+*/=<>&-])([A-D])"
    r"(?=\s?[).:;,!?\"']|\s?$|\s\(|\s(?:and|or|is|are|was|but|not|isn|because)\b)"
)
_GOES_ON = re.compile(r"[\s.]{0,4}(?=,|&|and\b|or\b)")
_SHORT = 12
_LONGEST_LIST = 2
_SHORTEST_TEXT = 3
"""An option of so few characters is not recognised by its text within a sentence."""
_TEXT_COMMAND = re.compile(r"\\(?:text|mathrm|textbf|mathbf)\{([^{}]{0,400})\}")


def options(prompt: str) -> dict[str, str]:
    """Read the options off a prompt as the published grader does: letter -> text, lower-cased."""
    found: dict[str, str] = {}
    for piece in prompt.rsplit("Options: ", 1)[-1].split(" , "):
        parts = piece.strip("[]' ").split(")")
        if len(parts) < 2:
            continue
        text = parts[1].lower().strip().strip(".")
        for tail in _TAILS:
            text = text.replace(tail, "")
        found[parts[0].lower().strip()] = text.strip()
    return found


def full_options(prompt: str) -> dict[str, str]:
    """Read the options off a prompt whole: letter -> text as it stands."""
    listed = re.split(r"(?i:options|options:)[: ]", prompt)[-1]
    pieces = _MARKER.split(" " + listed)
    return {
        letter.lower(): text.strip().rstrip(",. ").strip()
        for letter, text in zip(pieces[1::2], pieces[2::2], strict=True)
    }


async def strict(task: Task, answer: str, _sandbox: Sandbox) -> Verdict:
    """Grade by the one option that the answer commits to, by letter or by text."""
    return verdict(task, answer)


async def mint(task: Task, answer: str, _sandbox: Sandbox) -> Verdict:
    """Grade as published: the letter, or the text of the right option and of no other."""
    given = answer.lower().strip()
    if "a)" in given or "a )" in given:
        given = "a"
    letter = str(task.reference)
    if matches(letter, given):
        return Verdict(True)
    texts = options(task.prompt)
    right = texts.get(letter.strip().lower())
    if right is None:
        return Verdict(False, "the right option is not in the prompt")
    if any(matches(text, given) or text in given for text in _rivals(list(texts.values()), right)):
        return Verdict(False)
    return Verdict(matches(right, given) or right in given)


def _rivals(texts: list[str], right: str) -> list[str]:
    """Return the options that may not be in a right answer.

    Texts within the right one are dropped while the same list is walked, so the neighbour of each
    dropped one is not looked at and stays: the published behaviour.
    """
    position = 0
    while position < len(texts):
        if texts[position] in right:
            del texts[position]
        position += 1
    return texts


def verdict(task: Task, answer: str) -> Verdict:
    """Judge an answer against the letter that is a task's reference."""
    found = committed_option(answer, full_options(task.prompt), task.prompt)
    if found.problem:
        return Verdict(False, found.problem)
    letter = str(task.reference).strip().strip("()").lower()
    return Verdict(found.value == letter, f"read as {found.value}")


def committed_option(answer: str, texts: dict[str, str], prompt: str = "") -> Commitment:
    """Find the letter of the one option that an answer commits to; a list of all chooses none."""
    return commitment(
        _without_listing(answer, texts),
        lambda text: _option(text, texts),
        own=lambda letter: texts.get(letter, ""),
        question=prompt,
    )


def _without_listing(answer: str, texts: dict[str, str]) -> str:
    """Take out all options, if an answer repeats all of them; short ones count by their letters."""
    if len(answer) > LONGEST:
        return answer
    pieces = []
    for letter, text in texts.items():
        marker = rf"(?:{letter} ?\) ?)"
        optional = "?" if len(text) > _SHORTEST_TEXT else ""
        pieces.append(rf"{marker}{optional}({_flexible(text)})(?!\w)")
    listing = re.compile(rf"(?i)(?<!\w)(?:{'|'.join(pieces)})")
    found = {match.lastindex for match in listing.finditer(answer)}
    return listing.sub(" ", answer) if len(found) == len(texts) > 1 else answer


def _flexible(text: str) -> str:
    return r"\s+".join(map(re.escape, text.split()))


def _option(text: str, texts: dict[str, str]) -> str | None:
    text = _TEXT_COMMAND.sub(r"\1", text).strip("$ ")
    alone = _ALONE.fullmatch(text)
    if alone:
        return alone.group(1).lower()
    by_text = _option_of_text(text, texts)
    leading = _LEADING.match(text)
    if leading is not None:
        return _unless_doubtful(leading, text, texts)
    if by_text is not None:
        return by_text
    named = {letter.strip(")").lower() for letter in _NAMED.findall(text)}
    mentioned = named | {letter.lower() for letter in _MENTIONED.findall(text)}
    if not mentioned and len(text.split()) <= _SHORT:
        mentioned = {letter.lower() for letter in _LETTER.findall(text)}
    return mentioned.pop() if len(mentioned) == 1 else None


def _unless_doubtful(leading: "re.Match[str]", text: str, texts: dict[str, str]) -> str | None:
    """Refuse a letter whose sentence has another letter, or the text of another option."""
    letter = (leading[1] or leading[2]).lower()
    own = texts.get(letter, "")
    rest = text[leading.end() :].partition("\n")[0]
    if any(_bare(rest) == _bare(option) != _bare(own) for option in texts.values()):
        return None
    rest = rest.replace(own, " ") if own else rest
    sentence = _GOES_ON.sub("", rest, count=1).partition(". ")[0]
    if leading[0].rstrip().endswith(".") and len(sentence.split()) > _LONGEST_LIST:
        return letter
    others = {found.lower() for found in _LETTER.findall(sentence)}
    return None if others - {letter} else letter


def _option_of_text(text: str, texts: dict[str, str]) -> str | None:
    for candidate in (text, last_part(text)):
        bare = _bare(candidate)
        equal = [letter for letter, option in texts.items() if _bare(option) == bare]
        if len(equal) == 1:
            return equal[0]
    number = single_number(text)
    same = [letter for letter, option in texts.items() if number == single_number(option)]
    if number is not None and len(same) == 1:
        return same[0]
    if len(text) > 400:
        return None
    words = f" {' '.join(_words(text))} "
    contained = {
        letter: option
        for letter, option in texts.items()
        if f" {' '.join(_words(option))} " in words
    }
    if len(contained) == len(texts) > 1:
        return None
    contained = {
        letter: option for letter, option in contained.items() if len(option) > _SHORTEST_TEXT
    }
    longest = [
        letter
        for letter, option in contained.items()
        if not any(option != other and option in other for other in contained.values())
    ]
    return longest[0] if len(longest) == 1 else None


def _bare(text: str) -> str:
    return "".join(text.lower().split()).strip("\"'$.“”\\()")


def _words(text: str) -> list[str]:
    return [word.strip("\"'.,;:$“”") for word in text.lower().split()]
