"""The leak check: what gives the answer away, and what only looks so."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codeact.episode.leaks import Known, find_leaks

OPTIONS = "Which metal floats?\nOptions: A ) iron , B ) lead , C ) lithium , D ) tin"
CHOICE = "Which writer was English, Henry Roth or Erskine Childers?"
SOLUTION = "def area(r):\n    squared = r ** 2\n    return 3.14159 * squared\n"


def leaks(comment: str, *secrets: str, task: str = "Work it out.", **known: object) -> list[str]:
    given = {"said": "", **known}
    found = find_leaks(comment, Known(secrets, task, **given))  # type: ignore[arg-type]
    return [leak.partition(":")[0] for leak in found]


@pytest.mark.parametrize(
    ("comment", "secret"),
    [
        ("So there are 4 * 9 = 36 hours.", "36"),
        ("It should be 1,250 in all.", "1250.0"),
        ("About 3.14, I think.", "3.14159"),
        ("You lost a sign: -17.", "-17"),
        ("It is 3/4 of the area.", "\\frac{3}{4}"),
        ("Three quarters, $\\dfrac{3}{4}$.", "0.75"),
        ("Below zero: $-\\frac{3}{4}$.", "-0.75"),
        ("The list is [4, 1, 12].", "[4, 1, 12]"),
        ("Look at PEDRO RODRIGUEZ instead.", "Pedro Rodríguez"),
        ("It was the Tea, Moderna.", "The Tea Moderna"),
        ("The right answer is 7.", "7"),
        ("The final answer should be yes, since both sing.", "yes"),
    ],
)
def test_what_only_the_comment_says_gives_the_answer_away(comment: str, secret: str) -> None:
    kind = "answer" if not any(c.isdigit() for c in secret) or "[" in secret else "number"
    assert leaks(comment, secret) == [kind]


@pytest.mark.parametrize(
    ("comment", "secret", "known"),
    [
        ("Right, 36 is what you have.", "36", {"said": "I get 36."}),
        ("3.14 is right.", "3.14159", {"said": "Out[1]: 3.141592653"}),
        ("You have 2 chances left; step 2 is wrong.", "2", {}),
        ("The answer is not 7.", "7", {}),
        ("The answer is 17.", "7", {}),
        ("Say 136 or 360.", "36", {}),
        ("Use x - 17.", "-17", {}),
        ("The answer is 7, as you see.", "7", {"reached": ("Out[3]: 7",)}),
        ("The answer is 7, as you say.", "7", {"reached": ("7",)}),
        ("Is it yes? There is no way to tell.", "yes", {}),
        ("Answer with <solution> True </solution> or <solution> False </solution>.", "True", {}),
        ("The answer is a number.", "a", {"task": OPTIONS}),
        ("Look up Henry Roth first.", "Henry Roth", {"task": CHOICE}),
        ("The Rodriguez family.", "Pedro Rodríguez", {}),
        ("", "36", {}),
        ("Anything.", "", {}),
    ],
)
def test_what_was_known_or_says_little_does_not(
    comment: str, secret: str, known: dict[str, object]
) -> None:
    assert leaks(comment, secret, **known) == []


@pytest.mark.parametrize(
    "comment",
    [
        "The correct answer is C.",
        "The correct option is (c), not A.",
        "This corresponds to option C.",
        "The format is <solution> C </solution>.",
        "The answer is lithium.",
        "You should propose 'lithium' now.",
    ],
)
def test_an_option_is_given_away_by_its_letter_and_by_its_text(comment: str) -> None:
    assert leaks(comment, "c", task=OPTIONS) == ["answer"]
    assert leaks(comment, "b", task=OPTIONS) == []
    assert leaks(comment, "c", task=OPTIONS, said="It is option C) lithium.") == []
    assert leaks(comment, "c", task=OPTIONS, reached=("lithium",), said="lithium") == []


def test_an_option_is_given_away_by_what_it_stands_for_unless_others_are_named_too() -> None:
    assert leaks("Think of lithium, which is light.", "c", task=OPTIONS) == ["answer"]
    assert leaks("Compare lithium with lead.", "c", task=OPTIONS) == []
    assert leaks("You found lithium.", "c", task=OPTIONS, said="So is lithium?") == []
    assert leaks("Take lithium.", "c", task=f"Not lithium: {OPTIONS}") == []
    assert leaks("Is it 7?", "a", task="Which?\nOptions: A ) 7 , B ) 8") == []


def test_a_name_out_of_the_task_is_given_away_where_it_is_called_the_answer() -> None:
    comment = "So the answer is Erskine Childers."
    assert leaks(comment, "Erskine Childers", task=CHOICE) == ["answer"]


def test_code_is_given_away_line_by_line() -> None:
    comment = "Write `squared = r**2` and then\n```\n  return 3.14159*squared\n```"
    assert leaks(comment, SOLUTION, code=True) == ["code", "code"]
    half = {"said": "    squared = r ** 2", "code": True}
    assert leaks(comment, SOLUTION, **half) == ["code"]
    assert leaks("Return 3.14159 times it.", SOLUTION, code=True) == []
    assert leaks("def area(r): is as given", SOLUTION, task="def area(r):", code=True) == []


def test_each_leak_is_told_once_with_what_it_gives_away() -> None:
    known = Known(("36", "36.0", "36"), "Work it out.", "")
    assert find_leaks("36, that is 36.", known) == ("number: 36", "number: 36.0")


PIECES = [
    "answer is ",
    "<solution>",
    "(c) ",
    "1,000e400",
    "\\frac{1}{2}",
    "½ ² ፩ ٣",
    "İ",
    "-0.",
    "42",
    "\n",
]
TEXTS = st.lists(st.sampled_from(PIECES) | st.text(max_size=5), max_size=8).map("".join)


@given(comment=TEXTS, secret=TEXTS, task=TEXTS, said=TEXTS, code=st.booleans())
@settings(max_examples=60, deadline=None)
def test_any_text_is_looked_at_and_gives_nothing_away_twice(
    comment: str, secret: str, task: str, said: str, code: bool
) -> None:
    known = Known((secret,), task, said, (said,), code)
    for leak in find_leaks(comment, known):
        assert leak.partition(": ")[0] in ("answer", "number", "code")
    assert find_leaks(comment, known._replace(said=f"{comment}\n{said}")) == ()
