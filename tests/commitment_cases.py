"""Answers, and what each commits to: the table of cases of `codeact.edge.graders.commitment`.

A row is the task family, its reference and the answers that are right, then those that are wrong.
"""

OPTIONS = "Which colour is it?\nOptions: A ) red , B ) green , C ) 42 , D ) A and B"
NEGATIVE = "Which was NOT a cause of the flood?\nOptions: A ) the rain , B ) the storm , C ) no dam , D ) the moon"

# family, reference, prompt, answers
Row = tuple[str, str, str, tuple[str, ...]]

RIGHT: list[Row] = [
    ("mmlu", "b", OPTIONS, (
        "B", "b)", "(B)", "B) green", "green", "The answer is B.", "I choose B.", "Option B is correct.",
        "B, because A is wrong", "B. A is wrong.", "B) green. C is incorrect since it is a number.",
        "B, not A", "B rather than A", "B instead of C", "It is B, not C.", "Final answer: B",
        "**B**", "$\\boxed{B}$", "The answer is B\n\nA is not green.", "~~A~~ B",
        "Answer: A\nFinal answer: B", "The correct answer is B. I am certain.", "It must be B",
        "<answer>B</answer>", "B (A is a colour too, but not the one)",
    )),
    ("mmlu", "d", OPTIONS, ("D", "D) A and B", "A and B")),
    ("mmlu", "c", OPTIONS, ("C", "42", "The answer is 42.")),
    ("mmlu", "d", NEGATIVE, (
        "D is not one of the causes of the flood.", "D", "The moon was not a cause of the flood.",
    )),
    ("mmlu", "c", NEGATIVE, ("C) no dam", "no dam")),
    ("hotpotqa", "Not Without My Daughter", "Which film?", (
        "Not Without My Daughter", '"Not Without My Daughter" (1991)',
        "The film is Not Without My Daughter.", "Not Without My Daughter, a film of 1991",
    )),
    ("hotpotqa", "Nothing Else Matters", "Which song?", ("Nothing Else Matters", "The song is Nothing Else Matters.")),
    ("hotpotqa", "Trial and Error or Luck", "Which book?", ("The book is Trial and Error or Luck.",)),
    ("hotpotqa", "Either/Or", "Which book?", ("Either/Or", "It is Either/Or.")),
    ("hotpotqa", "Neither Wolf nor Dog", "Which book?", ("It is Neither Wolf nor Dog.",)),
    ("hotpotqa", "March and April", "When?", ("March and April", "It is held in March and April.")),
    ("hotpotqa", "Ann Lee, Bo Day and Cy Fox", "Who?", ("Ann Lee, Bo Day, and Cy Fox", "They are Ann Lee, Bo Day and Cy Fox.")),
    ("hotpotqa", "1,000", "How many?", ("1,000", "about 1,000 people", "It has 1,000 seats.")),
    ("hotpotqa", "Paris", "Which city?", (
        "Paris", "Paris, France", "It is Paris.", "Paris, the capital of France", "Paris, not London",
        "Paris rather than London", "Paris, because London is not in France", "In 1900, Paris",
        "The city is Paris. London is not in France.", "Paris\nIt is the capital and largest city of France.",
        "The answer is Paris, not London.", "The answer is: Paris", "Paris (not London)", "It's actually Paris.",
    )),
    ("hotpotqa", "Wilmette", "Where?", ("Wilmette, Illinois", "Wilmette, Illinois, USA", "It is in Wilmette, Illinois.")),
    ("hotpotqa", "no", "Are they magazines?", ("no", "No, they are not.", "No, neither of them is.", "No. Not both are magazines.", "The answer is no, they are not.")),
    ("strategyqa", "no", "Would it float?", ("no", "No, it would not float.", "False", "No. It can't float, because it is not hollow.", "The answer is no.", "no, never")),
    ("strategyqa", "yes", "Would it float?", ("yes", "Yes, it would.", "True", "Yes, because it isn't heavy.", "The answer is yes", "Yes, it would not sink.")),
    ("gsm8k", "42", "How many?", (
        "42", "42.", "$42", "42 apples", "The answer is 42.", "= 42", "x = 42", "40 + 2 = 42", "about 42",
        "42, not 43", "42 rather than 43", "42, because 6 * 7 is 42", "The total is 42, since none were lost.",
        "The answer is 42\nIt is not 43.", "\\boxed{42}", "~~41~~ 42", "<answer>42</answer>", "=> 42",
        "It costs 2 dollars more than the other, and the total is 42 dollars", "**42**", "42.0",
        "The result is actually 42.", "She sold none of the rest.\nTherefore, she has 42.",
        "First answer: 41\nFinal answer: 42", "The answer is 42. I am not counting the lost ones.",
        "There are 42 apples.",
    )),
    ("gsm8k", "1000", "How many?", ("1,000", "1000", "$1,000.00", "The answer is 1,000 people.")),
    ("gsm8k", "-42", "What is it?", ("-42", "negative 42", "minus 42", "The answer is -42.", "−42")),
    ("gsm8k", "2", "How much more?", ("C costs 2 dollars more than B.", "She has 2 more than him.")),
    ("math", "42.0", "Compute.", ("42", "42.0", "The answer is $42$.", "$x = 42$", "\\boxed{42}")),
    ("theoremqa", "[1, 2]", "list", ("[1, 2]", "(1, 2)", "1, 2", "The answer is [1, 2].", "1 and 2", "x = [1, 2]")),
    ("theoremqa", "[-1, 4]", "list", ("The point is (-1, 4).", "[-1, 4], not [1, 4]")),
    ("theoremqa", "False", "bool", ("False", "No, they are not.", "The answer is False. x is not a factor.", "no")),
    ("theoremqa", "True", "bool", ("True", "Yes, it is.", "The statement is true.")),
]  # fmt: skip

_DENIED = (
    "{} is incorrect", "not ({})", "anything but ({})", "all except {}", "It isn't {}", "not {}",
    "{} is wrong", "The answer is not {}", "It's not {}.", "neither {}", "other than {}",
    "maybe {}", "probably not {}", "It cannot be {}", "I doubt it is {}", "{} is ruled out",
    "I would eliminate {}", "incorrect: {}", "~~{}~~", "{}?", "{}. That is wrong.", "{}. Wait, no.",
    "{} is not correct", "The answer can't be {}.", "It wasn't {}", "{} is false", "Anything besides {}",
    "The wrong answer is {}", "It is not the case that the answer is {}.", "I doubt the answer is {}",
    "Perhaps {}", "It might be {}", "It could be {}, I am not sure.", "{}, but I am not sure",
    "{} - no", "{}. No, that's not right.", "{}. Actually, no.", "Everything but {}", "{} is impossible",
    "either {} or something else", "{} or not", "unless {}", "<s>{}</s>", "<del>{}</del>", "\\cancel{{{}}}",
    "I can rule out {}", "It is unlikely to be {}", "{} is not the answer", "The answer is {}. That is not correct.",
    "The answer is {}? No.", "Never {}", "{} ❌", "≠ {}", "!= {}", "It is definitely not {}.",
    "I don't think it is {}", "{} (wrong)", "{}, which is incorrect", "{} would be wrong",
    "The opposite of {}", "{}. I was wrong.", "{}. Scratch that.", "Answer: not {}",
)  # fmt: skip

_REFUSED: list[Row] = [
    ("mmlu", "b", OPTIONS, (
        "B. But actually C", "green or red", "A or B", "B and C", "A and B", "B. C", "B\nC", "A, B", "B, C",
        "Answer: A. Answer: B", "Answer: B. Answer: A", "B. Wait, no, it's C", "No, it's C. Not B.",
        "B instead? C.", "A rather than B", "C) green", "B) red", "B/C", "B, actually C", "Instead of B, A",
        "neither A nor B", "A, not B", "B. Instead, C.", "either A or B", "D) A and B", "\\boxed{A} \\boxed{B}",
        "B... no, C", "The answer is B. Actually it is C.", "B, I mean C", "None of the above", "both A and B",
        "B unless C", "B. Correction: C", "B is a trap; C", "B & C", "Options A and B",
    )),
    ("mmlu", "d", NEGATIVE, ("D is not correct", "It isn't D", "not (D)")),
    ("hotpotqa", "Paris", "Which city?", (
        "London, Paris, Rome", "Paris, London, Rome", "London, Rome, Paris", "London rather than Paris",
        "London, Paris", "Paris, London", "Paris and London", "London and Paris", "Paris or London",
        "either Paris or London", "London\nParis\nRome", "Paris\nLondon", "- London\n- Paris", "Paris/London",
        "Paris; London", "Paris & London", "London, not Paris", "London instead of Paris", "Paris | London",
        "paris, london, rome", "It is Paris, London, or Rome.", "The cities are London, Paris and Rome",
        "Paris. Actually, London.", "Paris. No, London.", "Paris, no, London", "Answer: London. Answer: Paris",
        "1. London 2. Paris 3. Rome", "Parisian", "It is London, as Paris is too small", "Rather than Paris, London",
        "Paris (or London)", "Paris as well as London", "Paris, London, and more", "London (Paris)",
    )),
    ("hotpotqa", "Not Without My Daughter", "Which film?", (
        "It is not Not Without My Daughter.", "Without My Daughter", "Not Without My Daughter or Gandhi",
    )),
    ("gsm8k", "42", "How many?", (
        "negative 42", "minus 42", "x < 42", "42 or 43", "between 40 and 44", "less than 42", "≥ 42",
        "about 42?", "> 42", "at least 42", "at most 42", "up to 42", "more than 42", "40-44", "40 to 44",
        "42, 43", "42\n43", "41 and 42", "42+", "±42", "42 or more", "over 42", "x >= 42", "42 is too small",
        "Answer: 41. Answer: 42", "Answer: 42. Answer: 41", "42. Wait, 43.", "42, no, 43", "42; 43", "42/43",
        "[42, 42]", "42, 42", "42ish", "42 x", "42!", "-42", "－42", "４２", "4_2", "42e1", "43, not 42",
        "43 rather than 42", "42 — 43", "42 (43)", "42. 43.", "almost 42", "nearly 42", "x \\leq 42",
        "x \\neq 42", "42 < x", "not less than 42", "nan", "inf", "0x2a", "4 2", "42%2",
        "The answer is 42. Actually, the answer is 43.", "half of 42", "twice 42",
    )),
    ("math", "2.0", "Compute.", ("not 2", "[2,2]", "(2, 2)", "2, 2", "{2, 2}", "2 or 3", "x < 2", "2 and 3", "x \\ne 2", "±2", "２")),
    ("theoremqa", "[1, 2]", "list", ("[3,4] or [1,2]", "[1,2] or [3,4]", "not [1, 2]", "[1,2], [3,4]", "[[1, 2]]", "[1, 2, 2]", "[1, 2] is wrong", "[3, 4] [1, 2]", "[1, 2]?", "maybe [1, 2]", "[2, 1]")),
    ("theoremqa", "True", "bool", ("not true", "never true", "True or False", "maybe true", "isn't true", "untrue")),
    ("strategyqa", "yes", "Would it float?", (
        "never true", "not true", "not yes", "yes and no", "yes or no", "maybe yes", "yes?", "It isn't true",
        "Yes. Actually, no.", "Yes. No.", "No, yes", "probably", "Yes, but actually no", "I doubt it is true",
        "hardly true", "Yes is wrong", "yes/no", "It would not be true", "true is incorrect", "not false",
        "Answer: yes. Answer: no", "Yes, I guess", "~~yes~~", "The answer is not yes.", "neither yes nor no",
    )),
    ("strategyqa", "no", "Would it float?", ("not no", "not false", "isn't false", "no?", "maybe no", "no or yes", "No. Wait, yes.", "no doubt", "I have no idea", "never false", "No is wrong")),
]  # fmt: skip


def _denials() -> list[Row]:
    rows = [
        ("mmlu", "b", OPTIONS, "B"), ("mmlu", "b", OPTIONS, "green"), ("hotpotqa", "Paris", "Which city?", "Paris"),
        ("gsm8k", "42", "How many?", "42"), ("math", "2.0", "Compute.", "2"),
        ("theoremqa", "[1, 2]", "list", "[1, 2]"), ("strategyqa", "yes", "Would it float?", "true"),
    ]  # fmt: skip
    return [
        (name, reference, prompt, tuple(form.format(value) for form in _DENIED))
        for name, reference, prompt, value in rows
    ]


WRONG: list[Row] = [*_REFUSED, *_denials()]
