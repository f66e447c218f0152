"""Worked examples that call tools one at a time, in our own words.

Their tasks, pages and households are those of the examples that run code; a test plays them.
"""

from collections.abc import Collection

from codeact.episode.prompts.examples import EXAMPLES, example_for
from codeact.episode.prompts.households import HOUSEHOLDS
from codeact.episode.prompts.worked import Step, Worked, read_example


def _act(thought: str, tool: str, *values: str, seen: str | None = None) -> Step:
    """Do something in a household."""
    arguments = dict(zip(_PARAMETERS[tool], values, strict=True))
    return Step(thought, tool=tool, arguments=arguments, observation=seen)


_PLACE, _BOTH = ("receptacle",), ("object", "receptacle")
_PARAMETERS = {
    "goto": _PLACE,
    "open_receptacle": _PLACE,
    "use": _PLACE,
    **dict.fromkeys(("take_from", "put", "clean", "heat", "cool"), _BOTH),
}

_SEARCH = (
    Step(
        "I do not know the year, so I look up the bridge first.",
        tool="wikipedia_search",
        arguments={"query": "Kettle Bridge"},
        observation=read_example(EXAMPLES["reasoning"]).steps[0].observation,
    ),
    Step(
        "N = 1764, which is 2 * 2 * 3 * 3 * 7 * 7. Each of the three primes can be in a divisor "
        "0, 1 or 2 times, so there are 3 * 3 * 3 = 27 divisors.",
        answer="27",
    ),
)
_PUT = (
    _act(
        "Keys may lie on a desk.",
        "goto",
        "desk 1",
        seen="On the desk 1, you see a creditcard 1, and a pen 1.",
    ),
    _act(
        "Not on this one.",
        "goto",
        "desk 2",
        seen="On the desk 2, you see a keychain 1, and a laptop 1.",
    ),
    _act(
        "There is a keychain, so I take it.",
        "take_from",
        "keychain 1",
        "desk 2",
        seen="You pick up the keychain 1 from the desk 2.",
    ),
    _act("It has to be in a drawer.", "goto", "drawer 1", seen="The drawer 1 is closed."),
    _act(
        "I open the drawer first.",
        "open_receptacle",
        "drawer 1",
        seen="You open the drawer 1. The drawer 1 is open. In it, you see nothing.",
    ),
    _act(
        "With the keychain in the drawer the task is solved.",
        "put",
        "keychain 1",
        "drawer 1",
    ),
)
_EXAMINE = (
    _act(
        "I look for the lamp and for the newspaper.",
        "goto",
        "dresser 1",
        seen="On the dresser 1, you see a floorlamp 1, and a vase 1.",
    ),
    _act(
        "The lamp is here. A newspaper may lie on the sofa.",
        "goto",
        "sofa 1",
        seen="On the sofa 1, you see a newspaper 1, and a pillow 1.",
    ),
    _act(
        "I take it to the lamp.",
        "take_from",
        "newspaper 1",
        "sofa 1",
        seen="You pick up the newspaper 1 from the sofa 1.",
    ),
    _act(
        "Back to the lamp.",
        "goto",
        "dresser 1",
        seen="On the dresser 1, you see a floorlamp 1, and a vase 1.",
    ),
    _act("Holding it while the lamp is on is looking at it under the lamp.", "use", "floorlamp 1"),
)
_CLEAN = (
    _act(
        "I look for a plate, in closed places as well.",
        "goto",
        "cabinet 1",
        seen="The cabinet 1 is closed.",
    ),
    _act(
        "I open it.",
        "open_receptacle",
        "cabinet 1",
        seen="You open the cabinet 1. The cabinet 1 is open. In it, you see a plate 1.",
    ),
    _act(
        "It has to be clean before it goes back.",
        "take_from",
        "plate 1",
        "cabinet 1",
        seen="You pick up the plate 1 from the cabinet 1.",
    ),
    _act(
        "I can wash it at the sink.",
        "goto",
        "sinkbasin 1",
        seen="On the sinkbasin 1, you see a spoon 1.",
    ),
    _act(
        "I wash it.",
        "clean",
        "plate 1",
        "sinkbasin 1",
        seen="You clean the plate 1 using the sinkbasin 1.",
    ),
    _act(
        "Now it goes back.",
        "goto",
        "cabinet 1",
        seen="The cabinet 1 is open. In it, you see nothing.",
    ),
    _act("The cabinet is open, so I can put it in.", "put", "plate 1", "cabinet 1"),
)
_HEAT = (
    _act(
        "Bread may lie on a countertop.",
        "goto",
        "countertop 1",
        seen="On the countertop 1, you see a bowl 1, and a butterknife 1.",
    ),
    _act(
        "There is another one.",
        "goto",
        "countertop 2",
        seen="On the countertop 2, you see a bread 1, and a mug 1.",
    ),
    _act(
        "I take the bread.",
        "take_from",
        "bread 1",
        "countertop 2",
        seen="You pick up the bread 1 from the countertop 2.",
    ),
    _act("I heat it at the microwave.", "goto", "microwave 1", seen="The microwave 1 is closed."),
    _act(
        "It need not be open for that.",
        "heat",
        "bread 1",
        "microwave 1",
        seen="You heat the bread 1 using the microwave 1.",
    ),
    _act(
        "Now to the table.",
        "goto",
        "diningtable 1",
        seen="On the diningtable 1, you see nothing.",
    ),
    _act("I put the hot bread on it.", "put", "bread 1", "diningtable 1"),
)
_COOL = (
    _act(
        "A pot may stand on the countertop.",
        "goto",
        "countertop 1",
        seen="On the countertop 1, you see a pot 2, and a tomato 1.",
    ),
    _act(
        "I take the pot.",
        "take_from",
        "pot 1",
        "countertop 1",
        seen="Nothing happens.",
    ),
    _act(
        "Nothing happened, because this is pot 2. I take that one.",
        "take_from",
        "pot 2",
        "countertop 1",
        seen="You pick up the pot 2 from the countertop 1.",
    ),
    _act("I cool it at the fridge.", "goto", "fridge 1", seen="The fridge 1 is closed."),
    _act(
        "It need not be open for that.",
        "cool",
        "pot 2",
        "fridge 1",
        seen="You cool the pot 2 using the fridge 1.",
    ),
    _act("Now to a shelf.", "goto", "shelf 1", seen="On the shelf 1, you see nothing."),
    _act("I put the cool pot on it.", "put", "pot 2", "shelf 1"),
)
_PUT_TWO = (
    _act(
        "I can hold one thing at a time. First I look for a candle in the cabinet.",
        "goto",
        "cabinet 1",
        seen="The cabinet 1 is closed.",
    ),
    _act(
        "I open it.",
        "open_receptacle",
        "cabinet 1",
        seen="You open the cabinet 1. The cabinet 1 is open. In it, you see a candle 2, and "
        "a cloth 1.",
    ),
    _act(
        "Here is a candle.",
        "take_from",
        "candle 2",
        "cabinet 1",
        seen="You pick up the candle 2 from the cabinet 1.",
    ),
    _act("It goes to the toilet.", "goto", "toilet 1", seen="On the toilet 1, you see nothing."),
    _act(
        "I put the first one down.",
        "put",
        "candle 2",
        "toilet 1",
        seen="You put the candle 2 in/on the toilet 1.",
    ),
    _act("Another one may be in a drawer.", "goto", "drawer 2", seen="The drawer 2 is closed."),
    _act(
        "I open it.",
        "open_receptacle",
        "drawer 2",
        seen="You open the drawer 2. The drawer 2 is open. In it, you see a candle 1.",
    ),
    _act(
        "Here is the second one.",
        "take_from",
        "candle 1",
        "drawer 2",
        seen="You pick up the candle 1 from the drawer 2.",
    ),
    _act(
        "It goes to the first one.",
        "goto",
        "toilet 1",
        seen="On the toilet 1, you see a candle 2.",
    ),
    _act("With both candles there the task is solved.", "put", "candle 1", "toilet 1"),
)

SEARCHED = Worked(read_example(EXAMPLES["reasoning"]).task, _SEARCH)
HOUSEHOLDS_CALLED = {
    kind: Worked(read_example(HOUSEHOLDS[kind]).task, steps)
    for kind, steps in {
        "put": _PUT,
        "examine": _EXAMINE,
        "clean": _CLEAN,
        "heat": _HEAT,
        "cool": _COOL,
        "puttwo": _PUT_TWO,
    }.items()
}
"""By the published short names of the kinds."""


def called_example(task_type: str, *, tools: Collection[str], kind: str = "") -> Worked:
    """Return the example for a policy that calls these tools and runs no code of its own.

    Where none shows the tools, it is an answer alone.
    """
    if task_type == "decision_making" and tools:
        return HOUSEHOLDS_CALLED.get(kind, HOUSEHOLDS_CALLED["put"])
    if task_type == "reasoning" and "wikipedia_search" in tools:
        return SEARCHED
    return read_example(example_for(task_type, code=False, tools=tools))
