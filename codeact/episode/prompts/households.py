"""Worked examples of ALFWorld's six kinds of task, in our own words.

The episode ends with the cell that solves the task, so an example does, too: there is no answer to
propose. The observations are what a household of these things says; a test keeps them so.
"""

PUT = """\
Task:
You are in the middle of a room. Looking quickly around you, you see a bed 1, a desk 2, a desk 1, \
a drawer 2, a drawer 1, a garbagecan 1, and a shelf 1.
Your task is to: put a keychain in drawer.

Assistant:
<thought> I visit the places where keys may lie, and stop where I see them. </thought>
<execute>
for place in ["bed 1", "desk 1", "desk 2", "shelf 1", "garbagecan 1"]:
    seen = goto(place)
    print(seen)
    if "keychain" in seen:
        break
</execute>

Observation:
On the bed 1, you see a pillow 1.
On the desk 1, you see a creditcard 1, and a pen 1.
On the desk 2, you see a keychain 1, and a laptop 1.

Assistant:
<thought> I take the keychain 1 to drawer 1. A drawer can be closed; then I have to open it before \
I can put something in. With the keychain in the drawer the task is solved. </thought>
<execute>
print(take_from("keychain 1", "desk 2"))
seen = goto("drawer 1")
print(seen)
if "is closed" in seen:
    print(open_receptacle("drawer 1"))
print(put("keychain 1", "drawer 1"))
</execute>
"""

EXAMINE = """\
Task:
You are in the middle of a room. Looking quickly around you, you see a armchair 1, a dresser 1, \
a sidetable 2, a sidetable 1, and a sofa 1.
Your task is to: look at newspaper under the floorlamp.

Assistant:
<thought> I need to know where the newspaper is and where the lamp is, so I look at every place \
and keep what I see. </thought>
<execute>
seen = {}
for place in ["armchair 1", "dresser 1", "sidetable 1", "sidetable 2", "sofa 1"]:
    seen[place] = goto(place)
for place, words in seen.items():
    if "newspaper" in words or "floorlamp" in words:
        print(words)
</execute>

Observation:
On the dresser 1, you see a floorlamp 1, and a vase 1.
On the sofa 1, you see a newspaper 1, and a pillow 1.

Assistant:
<thought> I am at the sofa. I take the newspaper, carry it to the lamp on the dresser and switch \
that on; holding it there is looking at it under the lamp. </thought>
<execute>
print(take_from("newspaper 1", "sofa 1"))
print(goto("dresser 1"))
print(use("floorlamp 1"))
</execute>
"""

CLEAN = """\
Task:
You are in the middle of a room. Looking quickly around you, you see a cabinet 2, a cabinet 1, \
a countertop 1, a diningtable 1, a fridge 1, and a sinkbasin 1.
Your task is to: put a clean plate in cabinet.

Assistant:
<thought> First I look for a plate, in closed places as well. </thought>
<execute>
for place in ["countertop 1", "diningtable 1", "sinkbasin 1", "cabinet 1", "cabinet 2"]:
    seen = goto(place)
    if "is closed" in seen:
        seen = open_receptacle(place)
    print(seen)
    if "plate" in seen:
        break
</execute>

Observation:
On the countertop 1, you see a bread 1, and a knife 1.
On the diningtable 1, you see a cup 1, and a fork 1.
On the sinkbasin 1, you see a spoon 1.
You open the cabinet 1. The cabinet 1 is open. In it, you see a plate 1.

Assistant:
<thought> It has to be clean before it goes back, so I wash plate 1 at the sink. Cabinet 1 is \
still open, so I can put it there. </thought>
<execute>
print(take_from("plate 1", "cabinet 1"))
print(goto("sinkbasin 1"))
print(clean("plate 1", "sinkbasin 1"))
print(goto("cabinet 1"))
print(put("plate 1", "cabinet 1"))
</execute>
"""

HEAT = """\
Task:
You are in the middle of a room. Looking quickly around you, you see a countertop 2, \
a countertop 1, a diningtable 1, a fridge 1, a garbagecan 1, and a microwave 1.
Your task is to: heat some bread and put it in diningtable.

Assistant:
<thought> Bread lies on a countertop or in the fridge. When I find it I take it at once; its \
number is in what I read. </thought>
<execute>
import re

for place in ["countertop 1", "countertop 2", "diningtable 1", "fridge 1"]:
    seen = goto(place)
    if "is closed" in seen:
        seen = open_receptacle(place)
    print(seen)
    if found := re.search(r"bread \\d+", seen):
        print(take_from(found[0], place))
        break
</execute>

Observation:
On the countertop 1, you see a bowl 1, and a butterknife 1.
On the countertop 2, you see a bread 1, and a mug 1.
You pick up the bread 1 from the countertop 2.

Assistant:
<thought> I heat it at the microwave, which need not be open for that, and carry it to the table. \
</thought>
<execute>
print(goto("microwave 1"))
print(heat("bread 1", "microwave 1"))
print(goto("diningtable 1"))
print(put("bread 1", "diningtable 1"))
</execute>
"""

COOL = """\
Task:
You are in the middle of a room. Looking quickly around you, you see a countertop 1, a fridge 1, \
a shelf 2, a shelf 1, a sinkbasin 1, and a stoveburner 1.
Your task is to: cool some pot and put it in shelf.

Assistant:
<thought> A pot may stand on the stove, in the sink or on the countertop. </thought>
<execute>
for place in ["stoveburner 1", "sinkbasin 1", "countertop 1"]:
    seen = goto(place)
    print(seen)
    if "pot " in seen:
        print(take_from("pot 1", place))
        break
</execute>

Observation:
On the stoveburner 1, you see nothing.
On the sinkbasin 1, you see a potato 1.
On the countertop 1, you see a pot 2, and a tomato 1.
Nothing happens.

Assistant:
<thought> Nothing happened, because this is pot 2. I take that one, cool it at the fridge and put \
it on shelf 1. </thought>
<execute>
print(take_from("pot 2", "countertop 1"))
print(goto("fridge 1"))
print(cool("pot 2", "fridge 1"))
print(goto("shelf 1"))
print(put("pot 2", "shelf 1"))
</execute>
"""

PUT_TWO = """\
Task:
You are in the middle of a room. Looking quickly around you, you see a cabinet 1, a countertop 1, \
a drawer 2, a drawer 1, a garbagecan 1, and a toilet 1.
Your task is to: put two candle in toilet.

Assistant:
<thought> I can hold one thing at a time, so I look everywhere first and note where candles are. \
</thought>
<execute>
import re

candles = []
for place in ["cabinet 1", "countertop 1", "drawer 1", "drawer 2", "garbagecan 1"]:
    seen = goto(place)
    if "is closed" in seen:
        seen = open_receptacle(place)
    candles += [(name, place) for name in re.findall(r"candle \\d+", seen)]
print(candles)
</execute>

Observation:
[('candle 2', 'cabinet 1'), ('candle 1', 'drawer 2')]

Assistant:
<thought> There are two. I carry one after the other to the toilet 1. </thought>
<execute>
for candle, place in candles:
    goto(place)
    print(take_from(candle, place))
    goto("toilet 1")
    print(put(candle, "toilet 1"))
</execute>
"""

HOUSEHOLDS = {
    "put": PUT,
    "examine": EXAMINE,
    "clean": CLEAN,
    "heat": HEAT,
    "cool": COOL,
    "puttwo": PUT_TWO,
}
"""By the published short names of the kinds."""
