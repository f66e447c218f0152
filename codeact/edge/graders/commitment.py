"""Finds what an answer commits to: the part that a reader takes for the answer proper.

Every step is one pass over the text; what is too long to be an answer commits to nothing.
"""

LONGEST = 20_000
_TAGS = ("<solution>", "</solution>", "<sol>", "</sol>")
_PHRASES = ("answer is", "answer is:", "answer:", "solution is", "result is")


def committed(answer: str) -> str:
    """Cut an answer down to its last stated result; the whole of it if nothing marks one."""
    if len(answer) > LONGEST:
        return ""
    text = answer
    for tag in _TAGS:
        if tag in text:
            before, _, after = text.rpartition(tag)
            text = before if tag.startswith("</") and not after.strip() else after
    text = _boxed(_after_phrase(text.strip()))
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


def _after_phrase(text: str) -> str:
    lowered = text.lower()
    if len(lowered) != len(text):  # some letters grow; then positions do not carry over
        lowered = text
    found = max((lowered.rfind(phrase) + len(phrase), phrase) for phrase in _PHRASES)
    start, phrase = found
    if lowered.rfind(phrase) < 0:
        return text
    rest = text[start:].lstrip(": \n")
    return rest.partition("\n")[0] if rest else text


def _boxed(text: str) -> str:
    r"""Take the content of the last ``\boxed{…}``."""
    start = text.rfind("\\boxed{")
    if start < 0:
        return text
    start += len("\\boxed{")
    depth = 1
    for position in range(start, len(text)):
        depth += (text[position] == "{") - (text[position] == "}")
        if depth == 0:
            return text[start:position]
    return text[start:]
