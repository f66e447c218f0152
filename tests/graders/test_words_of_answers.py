"""What words around an answer mean: lists, options, truth, and what is said before and after it."""

from fractions import Fraction

import pytest

from codeact.graders.choice import committed_option, full_options, options
from codeact.graders.commitment import NO_VALUE, bare, cleaned, commitment, last_part, sentences
from codeact.graders.containment import matches
from codeact.graders.lists import listed
from codeact.graders.numbers import single_number
from codeact.graders.truth import committed_truth

PROMPT = "Which one? Options: A) red , B) dark red , C) blue , D) 42"


def words(text: str) -> list[str]:
    return text.lower().strip("\"'.,()").split()


@pytest.mark.parametrize(
    ("text", "wanted", "several"),
    [
        ("London", "london", False),
        ("London, Paris", "london", True),
        ("Paris, London", "london", True),
        ("Paris; London", "london", True),
        ("London and Paris", "london", True),
        ("London (England)", "london", False),
        ("London, England", "london", False),
        ("London, which is big", "london", False),
        ("Ann Lee, a painter", "ann lee", False),
        ("Ann Lee, painter", "ann lee", False),
        ("Ann Lee, Bob Ray", "ann lee", True),
        ("ann lee, bob ray", "ann lee", True),
        ("In May, Ann Lee", "ann lee", False),
        ("According to them, Ann Lee", "ann lee", False),
        ("Bob Ray, the Ann Lee", "ann lee", True),
        ("one two three four five six seven, Ann Lee", "ann lee", False),
        ("one two three four five six, Ann Lee", "ann lee", True),
        ("Ann Lee,", "ann lee", False),
        ("Ann Lee, or Bob", "ann lee", True),
        ("Bob Ray", "ann lee", False),
    ],
)
def test_a_list_of_candidates_is_no_answer(text: str, wanted: str, several: bool) -> None:
    assert listed(text, wanted.split(), words) is several


def test_options_are_read_off_a_prompt() -> None:
    assert full_options(PROMPT) == {"a": "red", "b": "dark red", "c": "blue", "d": "42"}
    assert options(PROMPT) == {"a": "red", "b": "dark red", "c": "blue", "d": "42"}


@pytest.mark.parametrize(
    ("answer", "letter"),
    [
        ("B", "b"),
        ("(b)", "b"),
        ("B) dark red", "b"),
        ("B) blue", None),
        ("dark red", "b"),
        ("It is dark red", "b"),
        ("the colour dark red, surely", "b"),
        ("42", "d"),
        ("42.0", "d"),
        ("43", None),
        ("option C", "c"),
        ("option C, D)", None),
        ("C and D", None),
        ("purple", None),
    ],
)
def test_an_answer_commits_to_one_option(answer: str, letter: str | None) -> None:
    assert committed_option(answer, full_options(PROMPT), PROMPT).value == letter


@pytest.mark.parametrize(
    ("answer", "value"),
    [
        ("5", 5),
        ("The answer is 5.", 5),
        ("The answer is 5. The final answer is 6.", 6),
        ("The answer is 5. The answer is 6.", None),
        ("The answer is 5. The answer is 5.", 5),
        ("The answer is 5. Nobody knows whether the answer is 5.", None),
        ("Nobody knows. The answer is 5.", 5),
        ("\\boxed{5}", 5),
        ("\\boxed{\\frac{1}{2}}", Fraction(1, 2)),
        ("\\boxed{5} \\boxed{6}", None),
        ("\\boxed{5", 5),
        ("It is not 5", None),
        ("Maybe the answer is 5", None),
        ("It is not the first one. The answer is 5", 5),
        ("5, not 6", 5),
        ("5, not really", None),
        ("5, not the right answer", None),
        ("5, not 5", None),
        ("5 rather than 6", 5),
        ("5 because 6 is wrong", 5),
        ("5. Wait, 6.", None),
        ("5. That is wrong.", None),
        ("5. Seven is wrong.", 5),
        ("less than 5", None),
        ("~~5~~ 6", 6),
        ("~~5 6", None),
        ("<s>5</s> 6", 6),
        ("6 <del>5</del>", 6),
        ("<solution>5</solution>", 5),
        ("4 <solution>5</solution>", 5),
        ("<solution>5</solution> 6", 6),
        ("five", None),
        ("5" + " " * 9_999, 5),
        ("5" + " " * 10_000, None),
    ],
)
def test_an_answer_commits_to_one_number(answer: str, value: Fraction | int | None) -> None:
    found = commitment(answer, single_number, bounds=True)
    assert found.value == value
    assert bool(found.problem) is (value is None)


def test_a_denial_that_the_question_asks_for_is_none() -> None:
    question = "Which of these is not a colour?"
    letters = {"a": "red", "b": "stone"}
    assert committed_option("B) is not a colour at all times", letters, question).value == "b"
    assert committed_option("B) is not a colour now", letters, question).value == "b"
    assert committed_option("B) is not one", letters, question).value is None
    assert committed_option("B) is not a colour at all times", letters, "Which one?").value is None


@pytest.mark.parametrize(
    ("wanted", "given", "same"),
    [
        ("100", "105", True),
        ("100", "95", True),
        ("100", "106", False),
        ("100", "94", False),
        ("²", "²", False),
        ("a", "an answer", True),
        ("b", "an answer", False),
        ("1.5", "1.5", True),
        ("1.5", "1.51", True),
        ("1.5", "1.6", False),
    ],
)
def test_the_published_rule_for_options(wanted: str, given: str, same: bool) -> None:
    assert matches(wanted, given) is same


@pytest.mark.parametrize(
    ("answer", "value"),
    [
        ("Yes", True),
        ("No", False),
        ("True.", True),
        ("No, they are not", False),
        ("Yes, but no", None),
        ("Yes, it is not true.", None),
        ("Yes, that is wrong", None),
        ("Yes, maybe", None),
        ("No, or yes", None),
        ("Yes or no", None),
        ("It is true", True),
        ("Perhaps", None),
    ],
)
def test_an_answer_commits_to_one_truth(answer: str, value: bool | None) -> None:
    assert committed_truth(answer, "Is it so?").value is value


def test_why_there_is_no_value_is_said() -> None:
    assert commitment("five", single_number).problem == NO_VALUE
    assert "longer than 10,000" in commitment("5" * 10_001, single_number).problem


@pytest.mark.parametrize(
    ("text", "part"),
    [("x is 5", "5"), ("x is y was 5.", "5"), ("x: 5", "5"), ("5\nx is 6", "5"), ("5", "5")],
)
def test_what_follows_the_last_copula(text: str, part: str) -> None:
    assert last_part(text) == part


def test_a_statement_loses_what_sets_it_off() -> None:
    assert bare(" **5** ") == "5"
    assert bare("5\n5\n") == "5"
    assert bare("5\n6") == "5\n6"
    assert cleaned("<b>5</b>") == ("5", "")


def test_sentences_end_where_they_end() -> None:
    assert sentences("One. Two! Three\nfour") == ["One.", "Two!", "Three", "four"]
    assert sentences("Dr. Lee came. She left.") == ["Dr. Lee came.", "She left."]
    many = sentences(" ".join(f"N{number} x." for number in range(40)))
    assert [many[0], many[14], many[15], many[-1]] == ["N0 x.", "N14 x.", "N25 x.", "N39 x."]
    assert len(many) == 30
