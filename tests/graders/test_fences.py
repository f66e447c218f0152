"""Programs are taken out of fences whole, whatever they hold, in time linear in the text."""

import re
import time
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codeact.graders import theorem
from codeact.graders.fences import unfence

DOCSTRING = '''def f(x):
    """Return x.

    ```python
    >>> f(1)
    ```
    """
    return x  # don't
'''
AT_THE_MARGIN = """'''
~~~~ text
example
~~~~
```
'''
def f(x):
    return "it's \\\\" + '\\'' + '#' + x
"""
PROGRAMS = {
    "plain": "def f(x):\n    return x",
    "a body": "    return x + 1",
    "a docstring with a fence": DOCSTRING.strip("\n"),
    "a fence at the margin of a docstring": AT_THE_MARGIN.strip("\n"),
    "a raw string with a fence": 'p = r"""\n```\n\\""""\ndef f(x):\n    return p',
    "form feeds and other spaces": 'def f(x):\n    return "\x0c\x1c\u2028"',
    "a quote in a comment": "# \"\"\" is a quote, ''' too\ndef f(x):\n    return x",
    "a backtick in a string": 'def f(x):\n    return "```"',
}
OPENINGS = ["```", "```python", "``` py", "````", "`````python3", "~~~", "~~~~ python title=f.py",
            "```{.python}", "```Python\t"]  # fmt: skip
PROSE = [
    "",
    "Here it is; it doesn't fail:\n\n",
    "1. Think.\n2. Write:\n",
    "It prints\n```text\nHi\n```\n",
]


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
@pytest.mark.parametrize("opening", OPENINGS)
@pytest.mark.parametrize("prose", PROSE)
def test_a_program_comes_out_of_any_fence_whole(program: str, opening: str, prose: str) -> None:
    if "text" in prose and "py" not in opening.lower():
        pytest.skip("two blocks, and none says which is the program")
    mark = re.findall(r"`+|~+", opening)[0]
    for closing in (mark, mark + mark[0], f"  {mark}  ", f"{mark}\r"):
        assert unfence(f"{prose}{opening}\n{program}\n{closing}\nIt's done.") == program
    assert unfence(f"{prose}{opening}\n{program}") == program


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_a_program_without_a_fence_is_left_alone(program: str) -> None:
    assert unfence(program) == program
    assert unfence(program + "\n") == program + "\n"


@pytest.mark.parametrize(
    ("answer", "program"),
    [
        ("- A:\n\n    ```python\n    if x:\n        y\n    ```\n", "if x:\n    y"),
        ("   ```python\nif x:\n    y\n   ```\n", "if x:\n    y"),
        ("\t~~~\n\tx = 1\n\t~~~", "x = 1"),
        ("````markdown\n# Answer\n```python\nx = 1\n```\n````", "x = 1"),
        ("```python\nx = 1\n```\nand\n```python\ny = 2\n```", "x = 1\ny = 2"),
        ("```\nx = 1\n```\nand\n~~~\ny = 2\n~~~", "x = 1\ny = 2"),
        ("```python\nx = 1\n```python\ny = 2\n```", "x = 1\ny = 2"),
        ("```bash\npip install x\n```\n```py\nx = 1\n```", "x = 1"),
        ("~~~\n```\nx\n```\n~~~", "```\nx\n```"),
        ("````\n```\nx\n```\n````", "```\nx\n```"),
        ("```\r\nx = 1\r\ny = 2\r\n```\r\n", "x = 1\r\ny = 2\r"),
        ("```\n```", ""),
        ("```x``` = 1", "```x``` = 1"),
        ("``\nx\n``", "``\nx\n``"),
        ('```\ns = """never closed\n```\nIt is.', 's = """never closed'),
        ('The quotes """ begin it.\n```\nx = 1\n```', "x = 1"),
    ],
)  # fmt: skip
def test_blocks_are_told_as_markdown_has_them(answer: str, program: str) -> None:
    assert unfence(answer) == program


# fmt: off
LINES = st.sampled_from([
    "x = 1", "    y = 'it''s'", "# don't \"\"\"", '"""', "'''", "", "```", "~~~", "    ```",
    "````x", 'z = "\\""', "\\", "s = '#'", "if x:\n    pass", "`", "\x0c",
])
# fmt: on


@settings(max_examples=400, deadline=None)
@given(st.lists(LINES, max_size=12).map("\n".join), st.sampled_from(OPENINGS))
def test_what_python_takes_for_a_program_is_taken_out_unchanged(text: str, opening: str) -> None:
    try:
        compile(text, "<text>", "exec")
    except SyntaxError:
        unfence(text)
        return
    assert unfence(text) == text
    mark = re.findall(r"`+|~+", opening)[0]
    assert unfence(f"{opening.strip()}\n{text}\n{mark}") == text


# -- costs

# fmt: off
UNITS = [
    '"', "'", '"""', '"""\\', "'''\\", "\\", "#", "#\n", "\n", "`", "~", "```\n", "~~~\n",
    "    ```\n", "``\n", "``` `\n", "```x\n", '"""\n```\n"""\n', '```\n"""', "'''\n```\n", "'\\\n",
    " ", "\t\n", "1", "1,", ".", ",.", "a ", "10^", "a)", "(a", " x ", "=", "-", "$", "²", " or ",
    "\ud800", "١", "%", "approximately", "True", "x1", "1.", "+", "\u2028",
]
# fmt: on
HEADS = ["", "x\n", "```\n", "```python\n'''", "````md\n", "    ```\n", "1", "a", "-", "="]
TAILS = ["", "\n```", "x", "'''\n", "1", ")"]
PARSERS: dict[str, Callable[[str], object]] = {
    "unfence": unfence,
    "normalise": theorem.normalise,
    "plain_value": theorem.plain_value,
}


def seconds(parse: Callable[[str], object], text: str) -> float:
    began = time.process_time()
    parse(text)
    return time.process_time() - began


@pytest.mark.parametrize("name", PARSERS)
def test_time_grows_as_the_text_does(name: str) -> None:
    """Sixteen times the text takes some sixteen times as long, and never the square of that."""
    parse = PARSERS[name]
    slow = []
    for number, unit in enumerate(UNITS):
        for head in HEADS:
            tail = TAILS[(number + HEADS.index(head)) % len(TAILS)]
            small, large = (head + unit * (n // len(unit)) + tail for n in (20_000, 320_000))
            if seconds(parse, large) > 64 * max(seconds(parse, small), 5e-4):
                slow.append((unit, head, tail))
    assert slow == []
