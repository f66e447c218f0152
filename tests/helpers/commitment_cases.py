"""Answers, and what each commits to: the table of cases of `codeact.graders.commitment`.

A row is a task family, a reference, the prompt (the answer's type in theoremqa), and answers.
"""

OPTIONS = "Which colour is it?\nOptions: A ) red , B ) green , C ) 42 , D ) A and B"
NEGATIVE = (
    "Which was NOT a cause of the flood?\n"
    "Options: A ) the rain , B ) the storm , C ) no dam , D ) the moon"
)

PIZZA = (
    "A round pizza is cut into 12 congruent pieces. What is the volume of one piece?\n"
    "Express your answer in terms of $\\pi$."
)

Row = tuple[str, str, str, tuple[str, ...]]

RIGHT: list[Row] = [
    ('hotpotqa', 'Because of Winn-Dixie', 'Which book?', (
        'Because of Winn-Dixie', 'The book is Because of Winn-Dixie.',
        'It is "Because of Winn-Dixie"',
    )),
    ('hotpotqa', 'As You Like It', 'Which play?', (
        'As You Like It', 'The play is As You Like It.', 'As You Like It, as it is set in a forest',
    )),
    ('hotpotqa', 'Rear Adm. J. Edward Snyder', 'Who?', (
        'Rear Adm. J. Edward Snyder', 'It was Rear Adm. J. Edward Snyder.',
    )),
    ('hotpotqa', 'A. E. Housman', 'Who?', (
        'It is A. E. Housman.', 'A. E. Housman, because he wrote it.',
    )),
    ('mmlu', 'b', OPTIONS, (
        'B', 'b)', '(B)', 'B) green', 'green', 'The answer is B.', 'I choose B.',
        'Option B is correct.', 'B, because A is wrong', 'B. A is wrong.',
        'B) green. C is incorrect since it is a number.', 'B, not A', 'B rather than A',
        'B instead of C', 'It is B, not C.', 'Final answer: B', '**B**', '$\\boxed{B}$',
        'The answer is B\n\nA is not green.', '~~A~~ B', 'Answer: A\nFinal answer: B',
        'The correct answer is B. I am certain.', 'It must be B', '<answer>B</answer>',
        'B (A is a colour too, but not the one)',
    )),
    ('mmlu', 'd', OPTIONS, (
        'D', 'D) A and B', 'A and B',
    )),
    ('mmlu', 'c', OPTIONS, (
        'C', '42', 'The answer is 42.',
    )),
    ('mmlu', 'd', NEGATIVE, (
        'D is not one of the causes of the flood.', 'D', 'The moon was not a cause of the flood.',
    )),
    ('mmlu', 'c', NEGATIVE, (
        'C) no dam', 'no dam',
    )),
    ('hotpotqa', 'Not Without My Daughter', 'Which film?', (
        'Not Without My Daughter', '"Not Without My Daughter" (1991)',
        'The film is Not Without My Daughter.', 'Not Without My Daughter, a film of 1991',
    )),
    ('hotpotqa', 'Nothing Else Matters', 'Which song?', (
        'Nothing Else Matters', 'The song is Nothing Else Matters.',
    )),
    ('hotpotqa', 'Trial and Error or Luck', 'Which book?', (
        'The book is Trial and Error or Luck.',
    )),
    ('hotpotqa', 'Either/Or', 'Which book?', (
        'Either/Or', 'It is Either/Or.',
    )),
    ('hotpotqa', 'Neither Wolf nor Dog', 'Which book?', (
        'It is Neither Wolf nor Dog.',
    )),
    ('hotpotqa', 'March and April', 'When?', (
        'March and April', 'It is held in March and April.',
    )),
    ('hotpotqa', 'Ann Lee, Bo Day and Cy Fox', 'Who?', (
        'Ann Lee, Bo Day, and Cy Fox', 'They are Ann Lee, Bo Day and Cy Fox.',
    )),
    ('hotpotqa', '1,000', 'How many?', (
        '1,000', 'about 1,000 people', 'It has 1,000 seats.',
    )),
    ('hotpotqa', 'Paris', 'Which city?', (
        'Paris', 'Paris, France', 'It is Paris.', 'Paris, the capital of France',
        'Paris, not London', 'Paris rather than London', 'Paris, because London is not in France',
        'In 1900, Paris', 'The city is Paris. London is not in France.',
        'Paris\nIt is the capital and largest city of France.', 'The answer is Paris, not London.',
        'The answer is: Paris', 'Paris (not London)', "It's actually Paris.",
    )),
    ('hotpotqa', 'Wilmette', 'Where?', (
        'Wilmette, Illinois', 'Wilmette, Illinois, USA', 'It is in Wilmette, Illinois.',
    )),
    ('hotpotqa', 'no', 'Are they magazines?', (
        'no', 'No, they are not.', 'No, neither of them is.', 'No. Not both are magazines.',
        'The answer is no, they are not.',
    )),
    ('strategyqa', 'no', 'Would it float?', (
        'no', 'No, it would not float.', 'False', "No. It can't float, because it is not hollow.",
        'The answer is no.', 'no, never',
    )),
    ('strategyqa', 'yes', 'Would it float?', (
        'yes', 'Yes, it would.', 'True', "Yes, because it isn't heavy.", 'The answer is yes',
        'Yes, it would not sink.',
    )),
    ('gsm8k', '42', 'How many?', (
        '42', '42.', '$42', '42 apples', 'The answer is 42.', '= 42', 'x = 42', '40 + 2 = 42',
        'about 42', '42, not 43', '42 rather than 43', '42, because 6 * 7 is 42',
        'The total is 42, since none were lost.', 'The answer is 42\nIt is not 43.', '\\boxed{42}',
        '~~41~~ 42', '<answer>42</answer>', '=> 42',
        'It costs 2 dollars more than the other, and the total is 42 dollars', '**42**', '42.0',
        'The result is actually 42.', 'She sold none of the rest.\nTherefore, she has 42.',
        'First answer: 41\nFinal answer: 42', 'The answer is 42. I am not counting the lost ones.',
        'There are 42 apples.',
    )),
    ('gsm8k', '1000', 'How many?', (
        '1,000', '1000', '$1,000.00', 'The answer is 1,000 people.',
    )),
    ('gsm8k', '-42', 'What is it?', (
        '-42', 'negative 42', 'minus 42', 'The answer is -42.', '−42',
    )),
    ('gsm8k', '2', 'How much more?', (
        'C costs 2 dollars more than B.', 'She has 2 more than him.',
    )),
    ('math', '42.0', 'Compute.', (
        '42', '42.0', 'The answer is $42$.', '$x = 42$', '\\boxed{42}',
    )),
    ('theoremqa', '[1, 2]', 'list', (
        '[1, 2]', '(1, 2)', '1, 2', 'The answer is [1, 2].', '1 and 2', 'x = [1, 2]',
    )),
    ('theoremqa', '[-1, 4]', 'list', (
        'The point is (-1, 4).', '[-1, 4], not [1, 4]',
    )),
    ('theoremqa', 'False', 'bool', (
        'False', 'No, they are not.', 'The answer is False. x is not a factor.', 'no',
    )),
    ('theoremqa', 'True', 'bool', (
        'True', 'Yes, it is.', 'The statement is true.',
    )),
    ('mmlu', 'b', OPTIONS, (
        'The correct choice is B.', 'My answer: B', 'B is the best answer.', "I'd go with B",
        'B: green', 'Answer - B', 'Therefore B', 'so the answer must be B',
        'B since C and D are both impossible.', "It can't be A, so the answer is B.",
        'After eliminating A, C and D, the answer is B.', '\\text{B}', 'Choice (b)', 'B) Green',
        'B.) green', 'The colour is green.', "It's B) green, not A) red", 'Answer: **B**',
        'The answer is (B) green because it is neither red nor 42.', f'{OPTIONS}\nAnswer: B',
        'Of A) red, B) green, C) 42, D) A and B the answer is B.',
    )),
    ('hotpotqa', 'Paris', 'Which city?', (
        'The city in question is Paris, not Lyon.', 'Paris (France)', 'Paris, Texas',
        'It was held in Paris in 1900.', 'Paris, although London also bid.', 'Answer: Paris.',
        'The answer is "Paris".', 'Paris - the capital of France', 'Paris!', 'paris', 'PARIS',
        '**Paris**', 'Final answer: Paris',
    )),
    ('hotpotqa', 'Romeo and Juliet', 'Which play?', (
        'It is Romeo and Juliet.', 'Romeo & Juliet', 'the play Romeo and Juliet, by Shakespeare',
        'Romeo and Juliet (1597)',
    )),
    ('hotpotqa', 'No Doubt', 'Which band?', (
        'No Doubt', 'The band is No Doubt.', 'It was No Doubt, an American band.',
    )),
    ('hotpotqa', 'Ann Lee', 'Who?', (
        'Ann Lee, who was born in 1900, directed it.', 'Ann Lee (born 1900)', 'Director Ann Lee',
        'It was directed by Ann Lee, an American.',
    )),
    ('hotpotqa', '1962', 'When?', (
        '1962', 'In 1962', 'It was in March 1962.', '1962, in Tokyo',
        'He was born on March 5, 1962.',
    )),
    ('gsm8k', '42', 'How many?', (
        '42 apples were left.', 'She has 42 left, not counting the rotten ones',
        'The total number is 42 since 50 - 8 = 42.', '50 - 8 = 42 apples', 'Total = 42', '$42.00',
        '42 km/h', 'There is no remainder, so the answer is 42.', 'The answer is: 42',
        '**Answer:** 42', '42 minutes', 'Thus 42.', 'It took 42 minutes or so? Final answer: 42',
        'Answer = 42',
    )),
    ('gsm8k', '12000', 'How many?', (
        '12,000', '12000', '$12,000', '12,000 dollars per year',
    )),
    ('strategyqa', 'no', 'Q?', (
        'No.', 'no - it sank', 'No, because it is neither light nor hollow.', 'No! It would not.',
        'false.', '**No**', 'No, that is impossible.', "The answer is No, since it isn't possible.",
    )),
    ('strategyqa', 'yes', 'Q?', (
        'Yes!', 'Yes, that is correct.', 'yes, although not always', 'Yes - it is light.',
        'The statement is true.', 'It is true.', '**Yes**', 'Yes, it is possible and not unlikely.',
    )),
    ('theoremqa', '[1, 2]', 'list', (
        '[1,2]', '{1, 2}', 'The eigenvalues are 1, 2', 'The list is [1, 2].', '\\boxed{[1, 2]}',
    )),
    ('math', '42.0', 'Compute.', (
        '42^1', '\\frac{84}{2}', 'The value of $x$ is $\\boxed{42}$, not $41$.', '6 \\cdot 7',
        '$42$ units',
    )),
]  # fmt: skip

_DENIED = (
    '{} is incorrect', 'not ({})', 'anything but ({})', 'all except {}', "It isn't {}", 'not {}',
    '{} is wrong', 'The answer is not {}', "It's not {}.", 'neither {}', 'other than {}',
    'maybe {}', 'probably not {}', 'It cannot be {}', 'I doubt it is {}', '{} is ruled out',
    'I would eliminate {}', 'incorrect: {}', '~~{}~~', '{}?', '{}. That is wrong.', '{}. Wait, no.',
    '{} is not correct', "The answer can't be {}.", "It wasn't {}", '{} is false',
    'Anything besides {}', 'The wrong answer is {}', 'It is not the case that the answer is {}.',
    'I doubt the answer is {}', 'Perhaps {}', 'It might be {}', 'It could be {}, I am not sure.',
    '{}, but I am not sure', '{} - no', "{}. No, that's not right.", '{}. Actually, no.',
    'Everything but {}', '{} is impossible', 'either {} or something else', '{} or not',
    'unless {}', '<s>{}</s>', '<del>{}</del>', '\\cancel{{{}}}', 'I can rule out {}',
    'It is unlikely to be {}', '{} is not the answer', 'The answer is {}. That is not correct.',
    'The answer is {}? No.', 'Never {}', '{} ❌', '≠ {}', '!= {}', 'It is definitely not {}.',
    "I don't think it is {}", '{} (wrong)', '{}, which is incorrect', '{} would be wrong',
    'The opposite of {}', '{}. I was wrong.', '{}. Scratch that.', 'Answer: not {}',
)  # fmt: skip

_REFUSED: list[Row] = [
    ('math_train', '\\pi', PIZZA, (
        PIZZA,
    )),
    ('mmlu', 'b', OPTIONS, (
        'B. But actually C', 'green or red', 'A or B', 'B and C', 'A and B', 'B. C', 'B\nC', 'A, B',
        'B, C', 'Answer: A. Answer: B', 'Answer: B. Answer: A', "B. Wait, no, it's C",
        "No, it's C. Not B.", 'B instead? C.', 'A rather than B', 'C) green', 'B) red', 'B/C',
        'B, actually C', 'Instead of B, A', 'neither A nor B', 'A, not B', 'B. Instead, C.',
        'either A or B', 'D) A and B', '\\boxed{A} \\boxed{B}', 'B... no, C',
        'The answer is B. Actually it is C.', 'B, I mean C', 'None of the above', 'both A and B',
        'B unless C', 'B. Correction: C', 'B is a trap; C', 'B & C', 'Options A and B',
        'A) red\nB) green\nC) 42\nD) A and B', 'B ) green , A ) red , D ) A and B , C ) 42',
        'green, red, 42, A and B', OPTIONS, OPTIONS.partition('\n')[2],
    )),
    ('mmlu', 'd', NEGATIVE, (
        'D is not correct', "It isn't D", 'not (D)',
    )),
    ('hotpotqa', 'Paris', 'Which city?', (
        'London, Paris, Rome', 'Paris, London, Rome', 'London, Rome, Paris',
        'London rather than Paris', 'London, Paris', 'Paris, London', 'Paris and London',
        'London and Paris', 'Paris or London', 'either Paris or London', 'London\nParis\nRome',
        'Paris\nLondon', '- London\n- Paris', 'Paris/London', 'Paris; London', 'Paris & London',
        'London, not Paris', 'London instead of Paris', 'Paris | London', 'paris, london, rome',
        'It is Paris, London, or Rome.', 'The cities are London, Paris and Rome',
        'Paris. Actually, London.', 'Paris. No, London.', 'Paris, no, London',
        'Answer: London. Answer: Paris', '1. London 2. Paris 3. Rome', 'Parisian',
        'It is London, as Paris is too small', 'Rather than Paris, London', 'Paris (or London)',
        'Paris as well as London', 'Paris, London, and more', 'London (Paris)',
    )),
    ('hotpotqa', 'Not Without My Daughter', 'Which film?', (
        'It is not Not Without My Daughter.', 'Without My Daughter',
        'Not Without My Daughter or Gandhi',
    )),
    ('gsm8k', '42', 'How many?', (
        'negative 42', 'minus 42', 'x < 42', '42 or 43', 'between 40 and 44', 'less than 42',
        '≥ 42', 'about 42?', '> 42', 'at least 42', 'at most 42', 'up to 42', 'more than 42',
        '40-44', '40 to 44', '42, 43', '42\n43', '41 and 42', '42+', '±42', '42 or more', 'over 42',
        'x >= 42', '42 is too small', 'Answer: 41. Answer: 42', 'Answer: 42. Answer: 41',
        '42. Wait, 43.', '42, no, 43', '42; 43', '42/43', '[42, 42]', '42, 42', '42ish', '42 x',
        '42!', '-42', '－42', '４２', '4_2', '42e1', '43, not 42', '43 rather than 42', '42 — 43',
        '42 (43)', '42. 43.', 'almost 42', 'nearly 42', 'x \\leq 42', 'x \\neq 42', '42 < x',
        'not less than 42', 'nan', 'inf', '0x2a', '4 2', '42%2',
        'The answer is 42. Actually, the answer is 43.', 'half of 42', 'twice 42',
    )),
    ('math', '2.0', 'Compute.', (
        'not 2', '[2,2]', '(2, 2)', '2, 2', '{2, 2}', '2 or 3', 'x < 2', '2 and 3', 'x \\ne 2',
        '±2', '２',
    )),
    ('theoremqa', '[1, 2]', 'list', (
        '[3,4] or [1,2]', '[1,2] or [3,4]', 'not [1, 2]', '[1,2], [3,4]', '[[1, 2]]', '[1, 2, 2]',
        '[1, 2] is wrong', '[3, 4] [1, 2]', '[1, 2]?', 'maybe [1, 2]', '[2, 1]',
    )),
    ('theoremqa', 'True', 'bool', (
        'not true', 'never true', 'True or False', 'maybe true', "isn't true", 'untrue',
    )),
    ('strategyqa', 'yes', 'Would it float?', (
        'never true', 'not true', 'not yes', 'yes and no', 'yes or no', 'maybe yes', 'yes?',
        "It isn't true", 'Yes. Actually, no.', 'Yes. No.', 'No, yes', 'probably',
        'Yes, but actually no', 'I doubt it is true', 'hardly true', 'Yes is wrong', 'yes/no',
        'It would not be true', 'true is incorrect', 'not false', 'Answer: yes. Answer: no',
        'Yes, I guess', '~~yes~~', 'The answer is not yes.', 'neither yes nor no',
    )),
    ('strategyqa', 'no', 'Would it float?', (
        'not no', 'not false', "isn't false", 'no?', 'maybe no', 'no or yes', 'No. Wait, yes.',
        'no doubt', 'I have no idea', 'never false', 'No is wrong',
    )),
    ('mmlu', 'b', OPTIONS, (
        'B has been ruled out', 'We can eliminate B', 'A, C, D', "B isn't it", 'Not option B',
        'The answer is anything except B', 'It is B? I am unsure', 'B or maybe C', 'B ... or C?',
        'B (incorrect)', 'Definitely not B', 'B can be excluded', "I'd rather not choose B",
        "B doesn't fit", 'B, or possibly C', 'Cannot be B', 'My first guess was B but it is C',
        'Green is wrong', "green isn't the answer", 'Neither', 'All of the above',
        'B was my first thought, however C is right', "The answer isn't B", 'It is A (not B)',
        'B->C', 'Choose any but B', "B wouldn't be right", 'Reject B', 'B is not right', 'no B',
        'B ✗', 'Wrong: B',
    )),
    ('hotpotqa', 'Paris', 'Which city?', (
        "It isn't Paris", 'Anywhere but Paris', 'not Paris but London', 'London (not Paris)',
        'Paris? No, London.', 'Paris is incorrect', "I doubt it's Paris", 'Possibly Paris',
        'Paris, Berlin', 'Berlin, Paris', 'Paris, Berlin and Rome', 'Either London or Paris.',
        'cannot be Paris', 'other than Paris', 'Paris is not the answer',
        'I thought it was Paris, but it is London.', 'The answer is not Paris.',
        'Paris was ruled out', 'Not sure, Paris?', 'Lyon, Paris, Nice, Lille', 'Paris vs London',
        'It could be Paris.', 'Neither Paris nor London', 'Paris, or London', 'London; Paris; Rome',
        'Paris. Correction: London', 'Paris -> London', 'London, then Paris', '1) Paris 2) London',
        '* Paris\n* London', 'It was never Paris', 'Paris unless it is London', '~~Paris~~ London',
    )),
    ('gsm8k', '42', 'How many?', (
        'the answer is not 42', '42 is wrong', 'x > 42', 'x != 42', '!42', 'not equal to 42',
        '42 is incorrect', 'less than or equal to 42', 'fewer than 42', 'greater than 42',
        'no more than 42', 'no less than 42', '42 or so?', 'from 40 to 42', '40 ≤ x ≤ 42',
        '40 < x < 42', "it can't be 42", '42... no, 43', '42, wait, 43', '42 (or 43)',
        'maybe 42 or 43', '-42.0', 'minus forty-two (42)? no', '42 - 43', 'between 42 and 42',
        'exceeds 42', '42 at most', 'below 42', 'I rule out 42', 'Answer: 42 or 43', '42 to 43',
        'anything but 42', '42 squared', 'sqrt(42)', 'log 42', '42 thousand', '42 dozen', '1/42',
        'x ∈ [42, 43]', '0.42', '4.2', '42.5', '4,2', 'around 42, give or take 5', '42 and then 43',
        'The answer is 42; no, 43.', 'either 42', '42,000', 'answer: 42?', "42 doesn't work",
        '42 = 43', 'excluding 42', 'I am not sure, but 42', 'My guess is 42',
    )),
    ('strategyqa', 'yes', 'Q?', (
        'not at all true', 'untrue', "It's not true", "isn't yes", 'yes, no', 'no', 'Yes, wait, no',
        'probably yes', 'unlikely', 'yes... actually no', "It can't be true", 'no way that is true',
        'true or false', 'Neither', "The answer isn't yes", 'yes? maybe', 'Possibly', 'nope',
        'far from true', 'yes is not correct', 'not exactly true',
    )),
    ('theoremqa', '[1, 2]', 'list', (
        'either [1, 2] or [2, 1]', '[1, 2] and [3, 4]', "[1, 2] isn't right", 'anything but [1, 2]',
        '[1, 2, 3]', '[1]', '1', '~~[1, 2]~~', '[1, 2] != x', '[-1, 2]', '[1, 2] \n [3, 4]',
    )),
    ('math', '2.0', 'Compute.', (
        '[2, 2]', '2 or -2', 'not 2', '2 \\text{ or } 3', 'x \\neq 2', 'x>2', '2, 3', '-2',
        '{2, 3}', '(2, 3)', '2 is not the answer', '\\pm 2', '2i', '2x', '2\\pi', "float('nan')",
        "float('inf')", '2 + oo', '1_0/5', '2?', '２.0',
    )),
]  # fmt: skip

_VALUES: list[Row] = [
    ("mmlu", "b", OPTIONS, ("B", "green")),
    ("hotpotqa", "Paris", "Which city?", ("Paris",)),
    ("gsm8k", "42", "How many?", ("42",)),
    ("math", "2.0", "Compute.", ("2",)),
    ("theoremqa", "[1, 2]", "list", ("[1, 2]",)),
    ("strategyqa", "yes", "Would it float?", ("true",)),
]
WRONG: list[Row] = [
    *_REFUSED,
    *(
        (name, reference, prompt, tuple(form.format(value) for form in _DENIED for value in values))
        for name, reference, prompt, values in _VALUES
    ),
]
