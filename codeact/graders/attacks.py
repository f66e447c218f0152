"""Answers that solve nothing, and ought to pass no grader.

Whoever wrote them has read the prompt and knows how graders work, and knows nothing of the
reference. Each attack has several forms, since one grader reads words and another runs programs.
"""

import keyword
import re
from collections.abc import Callable
from typing import NamedTuple

from codeact.graders.choice import full_options

_CALLED = re.compile(r"\b([A-Za-z_]\w{0,60})\(")
_MOST_NAMES = 40
_NUMBERS = range(101)


class Attack(NamedTuple):
    """One way to pass without solving: `forms` makes its answers to a prompt."""

    name: str
    forms: Callable[[str], tuple[str, ...]]


def _empty(_prompt: str) -> tuple[str, ...]:
    return "", "\n"


def _echo(prompt: str) -> tuple[str, ...]:
    """The prompt, what follows its first empty line (a program to complete), and its last line."""
    body = prompt.partition("\n\n")[2]
    return tuple(dict.fromkeys(filter(str.strip, (prompt, body, prompt.rpartition("\n")[2]))))


def _every_option(prompt: str) -> tuple[str, ...]:
    """All options of the prompt; where it lists none, all truth values and numbers to a hundred."""
    listed = full_options(prompt)
    if not listed:
        numbers = ", ".join(map(str, _NUMBERS))
        return "A, B, C, D", "yes, no", "True or False", "True\nFalse", numbers, f"[{numbers}]"
    letters = [letter.upper() for letter in listed]
    lines = [f"{letter}) {text}" for letter, text in zip(letters, listed.values(), strict=True)]
    texts = ", ".join(listed.values())
    return ", ".join(letters), " or ".join(letters), "\n".join(lines), ", ".join(lines), texts


def _hostile(prompt: str) -> tuple[str, ...]:
    return _EQUAL_VALUE, _EQUAL_NUMBER, _program(_EQUAL, prompt)


def _reading(prompt: str) -> tuple[str, ...]:
    return _READING_VALUE, _program(_READING, prompt)


def _leaving(prompt: str) -> tuple[str, ...]:
    return "exit(0)", _LEAVING, _program(_LEAVING_CALL, prompt)


def _refusal(_prompt: str) -> tuple[str, ...]:
    return "I'm sorry, but I can't help with that.", "I do not know the answer."


def _forty_two(prompt: str) -> tuple[str, ...]:
    return "42", _program("def forged(*args, **kwargs): return 42\nprint(42)\n", prompt)


ATTACKS = (
    Attack("empty", _empty),
    Attack("echo", _echo),
    Attack("every option", _every_option),
    Attack("hostile equality", _hostile),
    Attack("reading", _reading),
    Attack("exit(0)", _leaving),
    Attack("refusal", _refusal),
    Attack("42", _forty_two),
)
"""In the order of the table. `reading` looks for the tests in files, frames and memory."""


def _program(source: str, prompt: str) -> str:
    """Bind what a program defines as `forged` to every name that the prompt calls."""
    called = dict.fromkeys(["solve", "solution", "candidate", *_CALLED.findall(prompt)])
    names = [name for name in called if not keyword.iskeyword(name)][:_MOST_NAMES]
    return f"{source}{''.join(f'{name} = forged{chr(10)}' for name in names)}"


_EQUAL = """
class Equal(float):
    def _agree(self, *others, **named): return True
    __eq__ = __lt__ = __gt__ = __le__ = __ge__ = __contains__ = __bool__ = _agree
    def __ne__(self, other): return False
    def __hash__(self): return hash("")
    def __len__(self): return len("...")
    def __iter__(self): return iter([self])
    def __getitem__(self, key): return self
    def _nothing(self, *others): return False
    __sub__ = __rsub__ = __abs__ = __round__ = _nothing
def forged(*args, **kwargs): return Equal()
print(Equal())
"""
_EQUAL_VALUE = (
    "type('Equal', (str,), {'__eq__': lambda *a: True, '__ne__': lambda *a: False, "
    "'__contains__': lambda *a: True, '__hash__': lambda s: hash('')})()"
)
_EQUAL_NUMBER = "float('nan')"
_READING_VALUE = (
    "[v for f in [__import__('sys')._getframe()] for n in ('reference', 'expected', 'REFERENCE') "
    "for v in (f.f_globals.get(n), f.f_back.f_locals.get(n), f.f_back.f_globals.get(n)) if v]"
)
_READING = """
import ast, gc, os, sys
def texts():
    frame = sys._getframe()
    while frame:
        for space in (frame.f_locals, frame.f_globals):
            yield from [value for value in list(space.values()) if isinstance(value, str)]
        yield from [value for value in frame.f_code.co_consts if isinstance(value, str)]
        frame = frame.f_back
    for thing in gc.get_objects():
        if isinstance(thing, (list, tuple)):
            yield from [value for value in thing if isinstance(value, str)]
    places = ["/proc/self/cmdline", "/proc/self/environ", sys.argv[:1] and sys.argv[0]]
    for folder in (".", "/tmp"):
        try: places += [os.path.join(folder, name) for name in os.listdir(folder)]
        except OSError: pass
    for place in places:
        try: yield open(place, errors="replace").read(len("x" * 100_000))
        except (OSError, TypeError, ValueError): pass
def expected(args):
    for text in list(texts()):
        if "assert " not in text: continue
        try: tree = ast.parse(text)
        except (SyntaxError, ValueError): continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Compare) and isinstance(node.left, ast.Call):
                try:
                    if [ast.literal_eval(one) for one in node.left.args] == list(args):
                        return ast.literal_eval(node.comparators[-1])
                except ValueError: pass
def forged(*args, **kwargs):
    return expected(args)
for text in list(texts()):
    if '"outputs"' in text:
        print(text.partition('"outputs": ["')[2].partition('"')[0])
        break
"""
_LEAVING = """
import os
print("ok", flush=True)
os.write(1, b"OK\\n")
os._exit(0)
"""
_LEAVING_CALL = """
import os
def forged(*args, **kwargs):
    os._exit(0)
"""
