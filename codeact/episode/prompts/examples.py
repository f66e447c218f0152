"""One worked example per task type, in our own words, to show the policy how an episode goes.

The observations are what the REPL prints for the code before them; a test keeps them so. The
page that `REASONING` finds is in the sample encyclopaedia, and no sample task needs it.
The table of `TABULAR` goes on for two rows that only the test has.
"""

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

EXAMPLES = {
    "reasoning": REASONING,
    "code_generation": CODE_GENERATION,
    "tabular": TABULAR,
}
