'''Takes a program out of the Markdown fences that models like to put around it.

A fence is a line of three or more backticks or tildes; what closes a block is as long at least. A
line like that inside of a Python string (an example in a docstring) is part of the program. The
work is linear in the text, and the regular expressions do it: none of them can go back.
'''

import re

_MOST_FENCES = 1000
_MOST_DEPTH = 3
_PYTHON = frozenset({"python", "py", "python3", "py3", "python2", "ipython", "ipython3"})
_MARKDOWN = frozenset({"markdown", "md"})
_FENCE = re.compile(r"^(?P<indent>[ \t]*+)(?P<mark>`{3,}+(?=[^`\n]*+$)|~{3,}+)(?P<info>.*+)$", re.M)
# Python up to a line that could be a fence, or to its end; `open` is a string without one.
_CODE = re.compile(
    r"""(?:
        [^"'\#\n\\]++
      | \\(?:.|\Z)
      | \n(?![ \t]*+(?:```|~~~))
      | \#[^\n]*+
      | \"""(?:[^"\\]|\\.|"(?!""))*+(?:\"""|(?P<open>\\?\Z))
      | '{3}(?:[^'\\]|\\.|'(?!''))*+(?:'{3}|(?P<open_too>\\?\Z))
      | "(?:[^"\\\n]|\\.)*+"?
      | '(?:[^'\\\n]|\\.)*+'?
    )*+""",
    re.X | re.S,
)


def unfence(answer: str) -> str:
    """Return the program in an answer: its blocks, those marked as Python if there are any.

    An answer without a block is all program, and so is one whose fences are all in strings of its
    own. A block that nothing closes goes to the end.
    """
    for _ in range(_MOST_DEPTH):
        blocks = _blocks(answer)
        if not blocks:
            return answer
        labels = {label for label, _ in blocks}
        for chosen in (_PYTHON, frozenset({""}), labels):
            texts = [text for label, text in blocks if label in chosen]
            if texts:
                break
        answer = "\n".join(texts)
        if not labels <= _MARKDOWN:
            return answer
    return answer


def _blocks(text: str) -> list[tuple[str, str]]:
    """Return label and content of each block."""
    start = _first_fence(text)
    blocks = []
    while start is not None and len(blocks) < _MOST_FENCES:
        opening = _FENCE.search(text, start)
        if opening is None:
            break
        content, end = _content(text, opening)
        blocks.append((_label(opening["info"]), _outdented(content, len(opening["indent"]))))
        start = end
    return blocks


def _first_fence(text: str) -> int | None:
    """Return where the fences begin; None if the text is a program, fences in strings or not."""
    if _FENCE.search(text) is None:
        return None
    if _FENCE.match(text):
        return 0
    whole = _CODE.match(text)
    if whole is None or whole.lastgroup:
        return 0
    return None if whole.end() == len(text) else whole.end()


def _content(text: str, opening: re.Match[str]) -> tuple[str, int]:
    """Return what a block holds, and where to look for the next one."""
    begin = position = opening.end()
    for _ in range(_MOST_FENCES):
        code = _CODE.match(text, position)
        assert code is not None
        if code.lastgroup:
            # An open string: either no program, or no string. Any fence will do.
            return _plain_content(text, opening)
        fence = _FENCE.match(text, code.end() + 1)
        if fence is None:
            if code.end() >= len(text):
                break
            position = code.end() + 1
            continue
        if _ends(opening, fence):
            return text[begin + 1 : code.end()], _after(fence)
        position = fence.end()
    return text[begin + 1 :], len(text)


def _plain_content(text: str, opening: re.Match[str]) -> tuple[str, int]:
    position = opening.end()
    begin = position + 1
    for _ in range(_MOST_FENCES):
        fence = _FENCE.search(text, position)
        if fence is None:
            break
        if _ends(opening, fence):
            return text[begin : max(begin, fence.start() - 1)], _after(fence)
        position = fence.end()
    return text[begin:], len(text)


def _ends(opening: re.Match[str], fence: re.Match[str]) -> bool:
    """Whether a fence ends a block: by closing it, or as the next block's forgotten beginning."""
    return (
        fence["mark"][0] == opening["mark"][0]
        and len(fence["mark"]) >= len(opening["mark"])
        and (not fence["info"].strip() or _label(opening["info"]) not in _MARKDOWN)
    )


def _after(fence: re.Match[str]) -> int:
    return fence.start() if fence["info"].strip() else fence.end()


def _label(info: str) -> str:
    words = info.strip().lower().strip("{}. ").split(None, 1)
    return words[0].strip("{}.,:") if words else ""


def _outdented(content: str, indent: int) -> str:
    """Take a block's indentation off its lines: as much as its first line has of it."""
    first = re.search(r"^([ \t]*+)[^ \t\r\n]", content, re.M) if indent else None
    width = min(indent, len(first[1])) if first else 0
    return re.sub(rf"^[ \t]{{1,{width}}}+", "", content, flags=re.M) if width else content
