"""Worked examples in our own words, to show the policy how an episode of a task type goes.

An example shows only what the episode has: no function that the interpreter lacks, and no code
where none is run. The observations are what the REPL prints for the code before them; a test keeps
them so. The page that `REASONING` finds is in the sample encyclopaedia, and no sample task needs
it. The table of `TABULAR` goes on for two rows that only the test has.
"""

from collections.abc import Collection

from codeact.episode.prompts.households import HOUSEHOLDS

REASONING = """\
Task:
Let N be the year in which Kettle Bridge was finished. How many positive divisors does N have? \
Give your answer as a whole number.

Assistant:
<thought> I do not know the year, so I look up the bridge first. </thought>
<execute>
print(wikipedia_search("Kettle Bridge"))
</execute>

Observation:
Page: Kettle Bridge
Summary: Kettle Bridge is a stone bridge over the River Ashwend in Pellworth. \
It was finished in 1764 and has eleven arches.

Assistant:
<thought> The bridge was finished in 1764, so N = 1764. Python can count the divisors. </thought>
<execute>
n = 1764
sum(1 for d in range(1, n + 1) if n % d == 0)
</execute>

Observation:
Out[2]: 27

Assistant:
<thought> 27 is odd, as it has to be for a square number, and 1764 is 42 squared. </thought>
The answer is <solution> 27 </solution>
"""

CODE_GENERATION = """\
Task:
Write a function to count how often a walker changes direction on a route of the letters \
N, E, S and W.
assert count_turns("NNEES") == 2

Assistant:
<thought> A turn is a place where two neighbouring letters differ. I write the function and run \
it on the given route before I propose it. </thought>
<execute>
def count_turns(route):
    turns = 0
    for i in range(len(route)):
        if route[i] != route[i + 1]:
            turns += 1
    return turns

assert count_turns("NNEES") == 2
</execute>

Observation:
---------------------------------------------------------------------------
IndexError                                Traceback (most recent call last)
Cell In[1], line 8
      5             turns += 1
      6     return turns
----> 8 assert count_turns("NNEES") == 2

Cell In[1], line 4, in count_turns(route)
      2 turns = 0
      3 for i in range(len(route)):
----> 4     if route[i] != route[i + 1]:
      5         turns += 1
      6 return turns

IndexError: string index out of range

Assistant:
<thought> The last letter has no successor, so the loop must stop one letter earlier. I also try \
an empty route. </thought>
<execute>
def count_turns(route):
    turns = 0
    for i in range(len(route) - 1):
        if route[i] != route[i + 1]:
            turns += 1
    return turns

assert count_turns("NNEES") == 2
count_turns("")
</execute>

Observation:
Out[2]: 0

Assistant:
<thought> The assertion holds and the empty route gives 0, so I propose this function. </thought>
<solution>
def count_turns(route):
    turns = 0
    for i in range(len(route) - 1):
        if route[i] != route[i + 1]:
            turns += 1
    return turns
</solution>
"""

TABULAR = """\
Task:
Given the following table (only the first 5 rows are shown):
     Ferry    Quay  Cars
0    Ardle   Brisk    40
1  Benmore  Sallow    28
2   Corran   Brisk    36
3    Dunan   Brisk    22
4   Erisca  Sallow    44

Write a Pandas query to find the answer to the question: which ferries of brisk carry more than 35 \
cars?.
The dataframe is preloaded for you and can be accessed within <execute> block via the variable `df`.

Assistant:
<thought> The table may have more rows than I see, so I ask all of it. </thought>
<execute>
df[(df["Quay"] == "Brisk") & (df["Cars"] > 35)]["Ferry"].tolist(), len(df)
</execute>

Observation:
Out[1]: (['Ardle', 'Corran', 'Foyers'], 7)

Assistant:
<thought> Three of the seven ferries fit, one of them below the rows shown. </thought>
The answer is <solution> ["Ardle", "Corran", "Foyers"] </solution>
"""

REASONING_WITHOUT_SEARCH = """\
Task:
A clock strikes once at one o'clock, twice at two and so on to twelve, by day and by night. After \
how many of the 24 hours of a day is the number of strokes since midnight a multiple of 13? Give \
your answer as a whole number.

Assistant:
<thought> I let Python add the strokes up. First I check the total of a whole day. </thought>
<execute>
strokes = [(hour - 1) % 12 + 1 for hour in range(1, 25)]
sum(strokes)
</execute>

Observation:
Out[1]: 156

Assistant:
<thought> That is 2 times 78, as it should be. Now I count the hours. </thought>
<execute>
from itertools import accumulate
sum(1 for total in accumulate(strokes) if total % 13 == 0)
</execute>

Observation:
Out[2]: 2

Assistant:
<thought> These are noon, with 78 strokes, and midnight, with 156; both are multiples of 13. \
</thought>
The answer is <solution> 2 </solution>
"""

REASONING_WITHOUT_CODE = """\
Task:
Seven crates hold the same number of lamps. After 12 lamps were sold 100 are left. How many lamps \
did each crate hold? Give your answer as a whole number.

Assistant:
<thought> Before the sale there were 100 + 12 = 112 lamps, and 112 / 7 = 16. </thought>
The answer is <solution> 16 </solution>
"""

CODE_GENERATION_WITHOUT_CODE = """\
Task:
Write a function to count how often a walker changes direction on a route of the letters \
N, E, S and W.
assert count_turns("NNEES") == 2

Assistant:
<thought> A turn is a place where two neighbouring letters differ. Pairs of neighbours come from \
the route and the route without its first letter; an empty route has none. </thought>
<solution>
def count_turns(route):
    return sum(a != b for a, b in zip(route, route[1:]))
</solution>
"""

TABULAR_WITHOUT_CODE = """\
Task:
Given the following table:
     Ferry    Quay  Cars
0    Ardle   Brisk    40
1  Benmore  Sallow    28
2   Corran   Brisk    36
3    Dunan   Brisk    22

Answer the question: which ferries of brisk carry more than 35 cars?

Assistant:
<thought> Ardle, Corran and Dunan are of Brisk; of these Ardle with 40 and Corran with 36 carry \
more than 35 cars. </thought>
The answer is <solution> ["Ardle", "Corran"] </solution>
"""

EXAMPLES = {
    "reasoning": REASONING,
    "reasoning_without_search": REASONING_WITHOUT_SEARCH,
    "code_generation": CODE_GENERATION,
    "tabular": TABULAR,
}
"""Those with code; all but the first use no tool."""

WITHOUT_CODE = {
    "reasoning": REASONING_WITHOUT_CODE,
    "code_generation": CODE_GENERATION_WITHOUT_CODE,
    "tabular": TABULAR_WITHOUT_CODE,
}


def example_for(task_type: str, *, code: bool, tools: Collection[str], kind: str = "") -> str:
    """The example of a task type for an episode that runs code or does not, and has these tools.

    Decision making has one for each `kind` of task. It is done by code: without, there is none of
    its own.
    """
    if not code:
        return WITHOUT_CODE.get(task_type, REASONING_WITHOUT_CODE)
    if task_type == "decision_making":
        return HOUSEHOLDS.get(kind, HOUSEHOLDS["put"])
    if task_type == "reasoning" and "wikipedia_search" not in tools:
        return REASONING_WITHOUT_SEARCH
    return EXAMPLES[task_type]
