"""Takes a program out of the Markdown fences that models like to put around it.

A fence is a line of three or more backticks or tildes; what closes a block is as long at least. A
line like that inside of a Python string (an example in a docstring) is part of the program. The
work is linear in the text: none of the regular expressions can go back.
"""

import re
from collections.abc import Iterator

_MOST_MARKS = 2000
_LONGEST_NESTED = 100_000
_PYTHON = frozenset({"python", "py", "python3", "py3", "python2", "ipython", "ipython3"})
_MARKDOWN = frozenset({"markdown", "md"})
_MARK = re.compile(r"[`~]{3}")
_FENCE = re.compile(r"(?P<indent>[ \t]*+)(?P<mark>`{3,}+(?=[^`\n]*+$)|~{3,}+)(?P<info>.*+)", re.M)

# How Python's strings begin, what they hold, and how they end; those in single marks end with
# their line, but for a backslash.
_STRINGS = {
    "double_3": (r'"""', r'(?:[^"\\]++|\\.|"(?!""))*+', r'"""'),
    "single_3": (r"'''", r"(?:[^'\\]++|\\.|'(?!''))*+", r"'''"),
    "double": (r'"', r'(?:[^"\\\n]++|\\.)*+', r'(?:"|(?=\n))'),
    "single": (r"'", r"(?:[^'\\\n]++|\\.)*+", r"(?:'|(?=\n))"),
}
_WHOLE = "|".join(
    rf"{begin}{inside}(?:{end}|\Z(?P<{name}>))" for name, (begin, inside, end) in _STRINGS.items()
)
# Python from outside a string to the end of what is looked at. A group tells which string, if any,
# goes on there.
_CODE = re.compile(rf"""(?:[^"'#\\]++|#[^\n]*+|\\(?:.|\Z)|{_WHOLE})*+""", re.S)
_REST = {name: re.compile(inside + end, re.S) for name, (_, inside, end) in _STRINGS.items()}

Fence = re.Match[str]


def unfence(answer: str) -> str:
    """Return the program in an answer: its blocks, those marked as Python if there are any.

    An answer without a block is all program, and so is one whose fences are all in strings of its
    own. A block that nothing closes goes to the end. A block of Markdown is an answer in itself.
    """
    blocks = _blocks(answer)
    if not blocks:
        return answer
    labels = {label for label, _ in blocks}
    for chosen in (_PYTHON, frozenset({""}), labels):
        program = "\n".join(text for label, text in blocks if label in chosen)
        if chosen & labels:
            break
    nested = labels <= _MARKDOWN and len(program) <= _LONGEST_NESTED
    return unfence(program) if nested else program


def _blocks(text: str) -> list[tuple[str, str]]:
    """Return label and content of each block."""
    fences = list(_fences(text))
    position = _first(text, fences)
    blocks = []
    while position < len(fences):
        opening = fences[position]
        close = _close(text, fences, position)
        end = fences[close].start() - 1 if close < len(fences) else len(text)
        content = text[opening.end() + 1 : max(end, opening.end() + 1)]
        blocks.append((_label(opening), _outdented(content, len(opening["indent"]))))
        # A line that names a language closes a block only by opening the next.
        position = close + (close < len(fences) and not fences[close]["info"].strip())
    return blocks


def _fences(text: str) -> Iterator[Fence]:
    """Yield the lines that are fences, of the first few thousand that could be."""
    position = 0
    for _ in range(_MOST_MARKS):
        mark = _MARK.search(text, position)
        if mark is None:
            return
        fence = _FENCE.match(text, text.rfind("\n", position, mark.start()) + 1 or position)
        if fence is not None:
            yield fence
        position = text.find("\n", mark.end()) + 1
        if not position:
            return


def _first(text: str, fences: list[Fence]) -> int:
    """Return which fence is the first of a block; their number if the text is a program."""
    if fences and fences[0].start() == 0:
        return 0
    for position in _outside_strings(text, 0, fences, 0):
        return 0 if position is None else position
    return len(fences)


def _close(text: str, fences: list[Fence], opening: int) -> int:
    """Return which fence ends a block; their number if none does."""
    for position in _outside_strings(text, fences[opening].end(), fences, opening + 1):
        if position is None:
            # A string without an end: no program, or no string. Any fence will do.
            break
        if _ends(fences[opening], fences[position]):
            return position
    else:
        return len(fences)
    rest = range(opening + 1, len(fences))
    return next((n for n in rest if _ends(fences[opening], fences[n])), len(fences))


def _outside_strings(
    text: str, position: int, fences: list[Fence], first: int
) -> Iterator[int | None]:
    """Yield which fences are outside of Python's strings; None where a string has no end."""
    for number in range(first, len(fences)):
        start = fences[number].start()
        if position > start:
            continue
        code = _CODE.match(text, position, start)
        unclosed = code.lastgroup if code is not None else None
        if unclosed is None:
            yield number
            position = fences[number].end()
            continue
        rest = _REST[unclosed].match(text, start)
        if rest is None:
            yield None
            return
        position = rest.end()


def _ends(opening: Fence, fence: Fence) -> bool:
    """Whether a fence ends a block: by closing it, or as the next block's forgotten beginning."""
    return (
        fence["mark"][0] == opening["mark"][0]
        and len(fence["mark"]) >= len(opening["mark"])
        and (not fence["info"].strip() or _label(opening) not in _MARKDOWN)
    )


def _label(fence: Fence) -> str:
    words = fence["info"][:100].strip().lower().strip("{}. ").split(None, 1)
    return words[0].strip("{}.,:") if words else ""


def _outdented(content: str, indent: int) -> str:
    """Take a block's indentation off its lines: as much as its first line has of it."""
    first = re.search(r"^([ \t]*+)[^ \t\r\n]", content, re.M) if indent else None
    width = min(indent, len(first[1])) if first else 0
    return re.sub(rf"^[ \t]{{1,{width}}}+", "", content, flags=re.M) if width else content
