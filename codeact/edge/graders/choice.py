"""Multiple choice: the options in a prompt, and the letter that an answer commits to."""

import re

from codeact.edge.graders.commitment import committed, last_part
from codeact.edge.graders.numbers import single_number
from codeact.edge.sandboxes.base import Sandbox
from codeact.episode.effects import Verdict
from codeact.episode.task import Task

_TAILS = (". which option is correct?", ". which one is correct?")
_MARKER = re.compile(r"(?:^|,|\s)([A-Da-d]) ?\) ")
_ALONE = re.compile(r"[\"'(\[*$ ]{0,4}([A-Da-d])[\"')\]*$. :]{0,4}")
_LEADING = re.compile(r"[\"'(\[*$ ]{0,4}([A-Da-d]) ?[).:](?!\w)")
_NAMED = re.compile(r"\b(?:option|choice|answer) \(?([A-D])\b", re.IGNORECASE)
_MENTIONED = re.compile(r"(?<!\w)([A-D]) ?\)")
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


async def committed_letter(task: Task, answer: str, _sandbox: Sandbox) -> Verdict:
    """Grade mmlu: the one option that the answer commits to, by letter or by text."""
    letter = committed_option(answer, full_options(task.prompt))
    if letter is None:
        return Verdict(False, "the answer does not commit to one option")
    return Verdict(letter == str(task.reference).strip().strip("()").lower(), f"read as {letter}")


def committed_option(answer: str, texts: dict[str, str]) -> str | None:
    """Find the option that an answer commits to; None if there is none, or doubt."""
    text = _TEXT_COMMAND.sub(r"\1", committed(answer)).strip("$ ")
    alone = _ALONE.fullmatch(text)
    if alone:
        return alone.group(1).lower()
    by_text = _option_of_text(text, texts)
    leading = _LEADING.match(text)
    if leading is not None:
        return _unless_doubtful(leading.group(1).lower(), text)
    if by_text is not None:
        return by_text
    named = {letter.lower() for letter in _NAMED.findall(text)}
    mentioned = named | {letter.lower() for letter in _MENTIONED.findall(text)}
    return mentioned.pop() if len(mentioned) == 1 else None


def _unless_doubtful(letter: str, text: str) -> str | None:
    """Refuse an answer that names another letter in its first line too."""
    line = text.partition("\n")[0]
    others = {found.lower() for found in _MENTIONED.findall(line)} - {letter}
    return None if others else letter


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
        if len(option) > 3 and f" {' '.join(_words(option))} " in words
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
