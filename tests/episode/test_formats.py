"""The action formats: what each takes for an action, how it refuses, and what it answers."""

import json
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from codeact.episode import protocol
from codeact.episode.effects import (
    Complete,
    Completion,
    Counts,
    Critique,
    Execute,
    Execution,
    Grade,
    Verdict,
)
from codeact.episode.machine import Episode
from codeact.episode.prompts import Action, Style
from codeact.episode.prompts.calling import MOST_CALLS
from codeact.episode.prompts.calls import DEEPEST, LONGEST_ARGUMENTS
from codeact.episode.prompts.text_calls import LONGEST_ACTION
from codeact.episode.settings import EpisodeSettings, FeedbackSettings, TurnSettings
from codeact.episode.task import Task, ToolSpec
from codeact.exceptions import ConfigError
from codeact.tools.alfworld.functions import SPECS
from codeact.tools.settings import SPEC
from tests.helpers.formats import (
    BY_CODE,
    BY_TEXT,
    BY_TOOLS,
    FORMATS,
    Act,
    Call,
    Run,
    Say,
    calls,
    format_of,
    written,
)

TASK = Task(name="gsm8k", id="0", prompt="How many?", reference="42", tools=("wikipedia_search",))
FIVE = TurnSettings(max_steps=5, max_propose_solution=2)
NO_TOOLS = TurnSettings(max_steps=5, max_propose_solution=2, use_tools=False)
TOOLS = (SPEC, *SPECS)
GOTO = Call("goto", {"receptacle": "desk 1"})
CELL = "call_tool(goto, receptacle='desk 1')"
FEEDBACK = FeedbackSettings(kind="textual")


def acts(name: str) -> tuple[Act, str]:
    """An act of a format, and the cell that it is."""
    return (Run("print(6 * 7)"), "print(6 * 7)") if name in BY_CODE else (GOTO, CELL)


def read(name: str, message: str | Completion, turns: TurnSettings = FIVE) -> list[Action]:
    answer = Completion(message) if isinstance(message, str) else message
    return list(format_of(name).actions(answer, turns, TOOLS))


def one(name: str, message: str | Completion, turns: TurnSettings = FIVE) -> Action:
    (action,) = read(name, message, turns)
    return action


def episode(name: str, **changes: Any) -> Episode:
    told = EpisodeSettings(turns=changes.pop("turns", FIVE), **changes)
    return Episode(TASK, "reasoning", told, format_of(name), tools=TOOLS)


# what is performed


@pytest.mark.parametrize("name", [name for name in FORMATS if name != "direct"])
def test_an_act_is_run_and_an_answer_is_graded(name: str) -> None:
    act, cell = acts(name)
    assert (one(name, written(name, act)).kind, one(name, written(name, act)).content) == (
        "execute",
        cell,
    )
    for answer in ("42", "def f():\n    return 1"):
        found = one(name, written(name, Say(answer)))
        assert (found.kind, found.content, found.refusal) == ("propose", answer, None)


def test_direct_answers_and_runs_nothing() -> None:
    assert one("direct", written("direct", Say("42"))) == Action("propose", "42")
    for text in ("<execute> 1 </execute>", "42", ""):
        found = one("direct", text)
        assert (found.kind, found.content) == ("invalid", "")
        assert found.refusal is not None
        assert "between solution tags" in found.refusal


CASES: dict[str, list[tuple[str, str, str]]] = {
    # a text, the kind of its action, and its content or a part of its refusal
    "code_fenced": [
        ("```python\na = 1\n```\nthen\n```py\na\n```", "execute", "a = 1\na"),
        ("```\n1\n```", "execute", "1"),
        ("````python\ns = '''\n```\n'''\n````", "execute", "s = '''\n```\n'''"),
        ("```python\n1\n```\n```text\nANSWER: 5\n```", "execute", "1"),
        ("```python\n# ANSWER: 5\nANSWER: 5\n```", "execute", "# ANSWER: 5\nANSWER: 5"),
        ("```python\n1\n```\nObservation:\n1\nANSWER: 1", "propose", "1"),
        ("  ANSWER:  4 2 \nbecause", "propose", "4 2"),
        ("ANSWER: 1\nANSWER: 2", "propose", "1"),
        ("ANSWER:\n\n```python\nf = 1\n```\nso", "propose", "f = 1"),
        ("ANSWER:\nyes\nand no\n", "propose", "yes\nand no"),
        ("ANSWER:", "propose", "there is no answer after ANSWER:"),
        ("the ANSWER: 4", "invalid", "neither a fenced block of Python nor"),
        ("    ANSWER: 4", "invalid", "neither a fenced block of Python nor"),
        ("```json\n{}\n```", "invalid", "neither a fenced block of Python nor"),
        ("see ```1```", "invalid", "neither a fenced block of Python nor"),
        ("```python\n1", "invalid", "not closed"),
        ("```python\n1\n``", "invalid", "not closed"),
        ("```python\n\n```", "invalid", "empty"),
        ("```python\n1\nANSWER: 5", "invalid", "not closed"),
        ("```\n" * 1001, "invalid", "more than 1,000 fences"),
        ("", "invalid", "neither"),
    ],
    "json": [
        ('{"tool": "goto", "arguments": {"receptacle": "desk 1"}}', "execute", CELL),
        ('So:\n```json\n{"tool": "look"}\n```', "execute", "call_tool(look)"),
        ('of {a} I do {"tool": "look", "arguments": {}}', "execute", "call_tool(look)"),
        ('{"thought": "{\\"tool\\": 1}", "tool": "look"}', "execute", "call_tool(look)"),
        ('{"a": 1} {"tool": "look"}', "execute", "call_tool(look)"),
        ('{"tool": null, "answer": "42"}', "propose", "42"),
        ('{"answer": [1, "a"]}', "propose", '[1, "a"]'),
        ('{"answer": true}', "propose", "true"),
        ('{"answer": 42.50}', "propose", "42.5"),
        ('{"answer": ""}', "propose", '"answer" is empty'),
        ('{"answer": null}', "propose", '"answer" is empty'),
        ('{"answer": "\\ud800"}', "propose", "half of a surrogate pair"),
        ('{"tool": "look"} {"tool": "look"}', "invalid", "2 JSON objects"),
        ('{"tool": "look"}\nObservation: x\n{"answer": "1"}', "invalid", "2 JSON objects"),
        ('{"tool": "look", "answer": "1"}', "invalid", 'both "answer" and "tool"'),
        ('{"tool": "look", "tool": "use"}', "invalid", "the key 'tool' twice"),
        ('{"tool": "fly"}', "invalid", "there is no tool 'fly'; the tools are: wikipedia_search"),
        ('{"tool": ["look"]}', "invalid", "no name"),
        ('{"tool": "goto", "arguments": {}}', "invalid", "lacks the argument 'receptacle'"),
        ('{"tool": "goto", "arguments": {"place": "x", "receptacle": "y"}}', "invalid", "'place'"),
        ('{"tool": "look", "arguments": {"a": 1}}', "invalid", "it takes no arguments"),
        ('{"tool": "look", "arguments": "a"}', "invalid", '"arguments" is no JSON object'),
        ('{"tool": "look", "arguments": NaN}', "invalid", "NaN is no JSON"),
        ('{"tool": "goto", "arguments": {"receptacle": 1e999}}', "invalid", "too large"),
        ('{"tool": "goto", "arguments": {"receptacle": ' + "9" * 5000 + "}}", "invalid", "digits"),
        ("{'tool': 'look'}", "invalid", "not valid (Expecting property name"),
        ('{"tool": "look"', "invalid", "not valid"),
        ('{"tool": "a\nb"}', "invalid", "control character"),
        ('{"thought": "hm"}', "invalid", 'no "tool" or "answer"'),
        ('["tool"]', "invalid", "no JSON object"),
        ("look()", "invalid", "no JSON object"),
        ("{" * 10_001, "invalid", "opening braces"),
        ("[" * 10 + '{"a":' + "[" * 100_000, "invalid", "nested too deeply"),
    ],
    "json_code": [
        ('{"code": "a = 1\\nprint(a)"}', "execute", "a = 1\nprint(a)"),
        ('{"code": "s = \\"{}\\""}', "execute", 's = "{}"'),
        ('{"thought": "t", "code": null, "answer": "1"}', "propose", "1"),
        ('{"code": "1", "answer": "1"}', "invalid", 'both "answer" and "code"'),
        ('{"code": ""}', "invalid", '"code" is no text'),
        ('{"code": ["1"]}', "invalid", '"code" is no text'),
        ('{"code": "\\udc00"}', "invalid", "half of a surrogate pair"),
        ('{"tool": "look"}', "invalid", 'no "code" or "answer"'),
    ],
    "text": [
        ('Action: goto(receptacle="desk 1")', "execute", CELL),
        ("I go.\n  Action:goto('desk 1')", "execute", CELL),
        ("Action: look()  # now", "execute", "call_tool(look)"),
        ("Action: goto(receptacle=[1, {'a': None, 'b': (True, -1.5)}, false, null])", "execute",
         "call_tool(goto, receptacle=[1, {'a': None, 'b': [True, -1.5]}, False, None])"),
        ("Action: look()\nAnswer: 42", "propose", "42"),
        ("Answer:\ndef f():\n    pass", "propose", "def f():\n    pass"),
        ("Answer:   ", "propose", "there is no answer after Answer:"),
        ("Action: look()\nAction: look()", "invalid", "several lines that begin with Action:"),
        ("Action: look()\nObservation: a desk\nAction: use('a')", "invalid", "several lines"),
        ("my Action: look()", "invalid", "no line that begins with"),
        ("Action: look", "invalid", "no call such as"),
        ("Action: goto(receptacle=desk)", "invalid", "no literal"),
        ("Action: goto(receptacle=f'{1}')", "invalid", "no literal"),
        ("Action: goto(receptacle=b'a')", "invalid", "no literal"),
        ("Action: goto(receptacle=__import__('os').system('id'))", "invalid", "no literal"),
        ("Action: goto(**{'receptacle': 'a'})", "invalid", "two stars"),
        ("Action: goto('a', receptacle='b')", "invalid", "twice"),
        ("Action: goto('a', 'b')", "invalid", "fewer arguments"),
        ("Action: goto(receptacle={1: 2})", "invalid", "no text in quotes"),
        ("Action: os.system(a='id')", "invalid", "no call such as"),
        ("Action: look(); look()", "invalid", "no call such as"),
        ("Action: look(\n)", "invalid", "no call such as"),
        ("Action: goto(receptacle=1e999)", "invalid", "too large"),
        ("Action: goto(receptacle=" + "9" * 5000 + ")", "invalid", "no call such as"),
        ("Action: goto(receptacle=" + "[" * 5000 + ")", "invalid", "no call such as"),
        ("Action: goto(receptacle='" + "a" * LONGEST_ACTION + "')", "invalid", "10,000 characters"),
        ("Action: \0", "invalid", "no call such as"),
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "text", "kind", "content"),
    [(name, *case) for name, cases in CASES.items() for case in cases],
)
def test_every_text_is_an_action_or_a_refusal_that_names_the_fault(
    name: str, text: str, kind: str, content: str
) -> None:
    found = one(name, text)
    assert found.kind == kind
    if found.refusal is None:
        assert found.content == content
    else:
        assert found.content == ""
        assert found.refusal.startswith("This message cannot be used, because ")
        assert content in found.refusal
        assert found.refusal.endswith(format_of(name).how_to_go_on)


CALLS: list[tuple[str, str, Any, str, str]] = [
    ("tool_calls", "goto", {"receptacle": "desk 1"}, "execute", CELL),
    ("tool_calls", "look", "", "execute", "call_tool(look)"),
    ("tool_calls", "look", "{}", "execute", "call_tool(look)"),
    ("tool_calls", "answer", {"value": "42"}, "propose", "42"),
    ("tool_calls", "answer", {"value": 42}, "propose", "42"),
    ("tool_calls", "answer", {"value": ""}, "propose", "the arguments of answer are"),
    ("tool_calls", "answer", {"answer": "42"}, "propose", "the arguments of answer are"),
    ("tool_calls", "answer", "42", "propose", "no JSON object"),
    ("tool_calls", "answer", "{", "propose", "no valid JSON"),
    ("tool_calls", "fly", {}, "invalid", "there is no tool 'fly'"),
    ("tool_calls", "python", {"code": "1"}, "invalid", "there is no tool 'python'"),
    ("tool_calls", "goto", {}, "invalid", "lacks the argument"),
    ("tool_calls", "goto", '{"receptacle": "a"} {}', "invalid", "go on after"),
    ("tool_calls", "goto", '{"receptacle": "a", "receptacle": "b"}', "invalid", "twice"),
    ("tool_calls", "goto", {"receptacle": "a" * LONGEST_ARGUMENTS}, "invalid", "characters"),
    ("code_tool", "python", {"code": "1 + 1"}, "execute", "1 + 1"),
    ("code_tool", "python", {"code": ""}, "invalid", "the arguments of python are"),
    ("code_tool", "python", {"code": "1", "x": 1}, "invalid", "the arguments of python are"),
    ("code_tool", "python", "1 + 1", "invalid", "go on after the JSON"),
    ("code_tool", "goto", {"receptacle": "a"}, "invalid", "there is no function 'goto'"),
]


@pytest.mark.parametrize(("name", "function", "arguments", "kind", "content"), CALLS)
def test_every_call_is_an_action_or_a_refusal_of_its_own(
    name: str, function: str, arguments: Any, kind: str, content: str
) -> None:
    found = one(name, calls((function, arguments)))
    assert (found.kind, found.tool_call_id) == (kind, "c0")
    assert content in (found.content if found.refusal is None else found.refusal)
    assert (found.content == "") == (found.refusal is not None)


@pytest.mark.parametrize("name", ["code_tool", "tool_calls"])
def test_text_beside_calls_does_nothing_and_text_alone_is_refused(name: str) -> None:
    act, cell = acts(name)
    both = written(name, act)
    loud = Completion(f"<execute> 1 </execute> {both.text}", tool_calls=both.tool_calls)
    assert [action.content for action in read(name, loud)] == [cell]
    found = one(name, Completion("python(1)\n```python\n1\n```"))
    assert (found.kind, found.tool_call_id) == ("invalid", None)
    assert found.refusal is not None
    assert "it calls no function" in found.refusal


def test_a_message_has_so_many_calls_and_no_more() -> None:
    found = read("tool_calls", calls(*[("look", {})] * (MOST_CALLS + 2)))
    assert [action.kind for action in found[: MOST_CALLS + 1]] == [
        *["execute"] * MOST_CALLS,
        "invalid",
    ]
    assert found[-1].refusal is not None
    assert f"{MOST_CALLS} calls at most" in found[-1].refusal


def test_arguments_are_nested_so_deep_and_no_deeper() -> None:
    for levels, kind in ((DEEPEST - 1, "execute"), (DEEPEST, "invalid")):
        value: object = "x"
        for _ in range(levels):
            value = [value]
        for name in BY_TOOLS:
            assert one(name, written(name, Call("goto", {"receptacle": value}))).kind == kind


@pytest.mark.parametrize("name", [name for name in FORMATS if name != "direct"])
def test_without_tools_an_act_is_refused_and_an_answer_is_not(name: str) -> None:
    act, _ = acts(name)
    assert one(name, written(name, act), NO_TOOLS).kind == "invalid"
    assert one(name, written(name, Say("42")), NO_TOOLS).content == "42"


@pytest.mark.parametrize("name", FORMATS)
def test_an_answer_is_found_without_knowing_the_tools(name: str) -> None:
    message = written(name, Say("42"))
    once = TurnSettings(max_steps=1, max_propose_solution=1)
    assert format_of(name).actions(message, once, ()) == read(name, message)


# totality: the pieces are what parsers look for

PIECES = (
    *"{}[]()\"'\\,:=\n `#*-+.09aé\ud800\0\u2028",
    "```", "```python\n", "\n```\n", "ANSWER:", "Answer:", "Action:", "\nAction: goto(",
    "<execute>", "</execute>", "<solution>", "</solution>", '{"tool": "look"}', '{"tool":',
    '"arguments":', '{"answer": "1"}', '{"code": "1"}', "receptacle=", "'desk 1'",
    "NaN", "1e999", "null", "true", "\\ud800", "Observation:\n", "lambda:0",
    "__import__('os')", "f'{1}'", "**", "goto", "look()",
)  # fmt: skip
TEXTS = st.lists(st.sampled_from(PIECES), max_size=30).map("".join)
CALLED = st.tuples(st.sampled_from(["goto", "look", "python", "answer", "fly", ""]), TEXTS)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(text=TEXTS, made=st.lists(CALLED, max_size=3))
def test_any_message_is_an_action_or_a_refusal(text: str, made: list[tuple[str, str]]) -> None:
    for name in FORMATS:
        for message in (Completion(text), calls(*made, text=text)):
            found = read(name, message)
            assert found
            for action in found:
                if action.refusal is None:
                    assert action.content
                    action.content.encode() if action.kind == "execute" else None
                if action.kind == "execute":
                    assert action.refusal is None
                    if name in BY_TOOLS:
                        # Nothing but the call of a tool of the task, whatever was written.
                        assert action.content.startswith(
                            tuple(f"call_tool({tool.name}" for tool in TOOLS)
                        )
            format_of(name).acted_until(text)


@pytest.mark.parametrize("name", [name for name in FORMATS if name not in ("direct",)])
def test_the_turns_of_an_example_are_what_they_show(name: str) -> None:
    shown = format_of(name)
    for kind in ("reasoning", "code_generation", "tabular"):
        worked = shown.worked(TASK, kind, FIVE, TOOLS[:1])
        for step in worked.steps:
            if name in BY_TEXT:
                found = one(name, shown.written(step))
                assert found.refusal is None
                if step.answer:
                    assert found.content == step.answer
                elif step.code:
                    assert found.content == step.code
                else:
                    assert found.content.startswith(f"call_tool({step.tool}, ")


# the environment


@pytest.mark.parametrize("name", FORMATS)
def test_the_policy_reads_what_is_left_and_the_feedback(name: str) -> None:
    played = episode(name, feedback=FEEDBACK)
    played.advance(written(name, Say("41")))
    assert isinstance(played.pending, Grade)
    played.advance(Verdict(correct=False))
    assert isinstance(played.pending, Critique)
    played.advance(Completion("Look again."))
    assert isinstance(played.pending, Complete)
    *_, last = played.messages
    assert last["role"] == ("tool" if name in ("code_tool", "tool_calls") else "user")
    assert protocol.WRONG_ANSWER in last["content"]
    assert "\nExpert feedback:\nLook again.\n" in last["content"]
    published = name in ("code", "code_verbatim")
    left = "4 steps left and 1 chances" if published else "Left: 4 turns, 1 answer."
    assert left in last["content"]
    nudge = "last step" if published else "This is the last turn: "
    assert nudge not in last["content"]
    played.advance(Completion(""))
    assert played.counts == Counts(propose_solution=1, invalid_action=1)
    played.advance(Completion("Hm."))
    for _ in range(2):
        played.advance(Completion(""))
        played.advance(Completion("Hm."))
    assert nudge in played.messages[-1]["content"]
    # code_verbatim sends back what was written, an empty text too.
    assert name == "code_verbatim" or all(one["content"] for one in played.messages)


@pytest.mark.parametrize("name", FORMATS)
def test_without_count_down_nothing_is_counted(name: str) -> None:
    played = episode(name, turns=FIVE.model_copy(update={"count_down": False}))
    played.advance(written(name, Say("41")))
    played.advance(Verdict(correct=False))
    words = played.messages[-1]["content"]
    assert words.removeprefix("Observation:\n").strip() == protocol.WRONG_ANSWER


def test_calls_are_answered_one_by_one_and_the_last_has_what_is_left() -> None:
    played = episode("tool_calls")
    played.advance(calls(("goto", {"receptacle": "desk 1"}), ("fly", {}), ("look", {})))
    assert played.pending == Execute(CELL, 0)
    played.advance(Execution("You are there."))
    assert played.pending == Execute("call_tool(look)", 0)
    played.advance(Execution("You see nothing."))
    said = played.messages[-3:]
    assert [(one["role"], one.get("tool_call_id")) for one in said] == [
        ("tool", "c0"),
        ("tool", "c1"),
        ("tool", "c2"),
    ]
    assert said[0]["content"] == "You are there."
    assert "there is no tool 'fly'" in said[1]["content"]
    assert said[2]["content"] == "You see nothing.\n\nLeft: 4 turns, 2 answers.\n"
    assert played.counts == Counts(use_tool=1)


# what is asked for


@pytest.mark.parametrize("name", FORMATS)
def test_stop_strings_cut_nothing_of_an_action(name: str) -> None:
    options = format_of(name).options(FIVE, TOOLS, plain=False)
    text = 'a\nObservation:\n\nTask:\n---\n"quoted"'
    if name in ("code_tool", "tool_calls"):
        assert options.stop == ()
        return
    assert options.stop == protocol.POLICY_STOP
    if name in ("json", "json_code"):
        act = Call("goto", {"receptacle": text}) if name == "json" else Run(text)
        for message in (written(name, act).text, written(name, Say(text)).text):
            assert not any(stop in message for stop in options.stop)
            assert not any(
                stop in json.dumps(json.loads(message), indent=2) for stop in options.stop
            )


def test_functions_are_offered_where_they_are_called_and_forms_where_they_are_kept() -> None:
    for name in FORMATS:
        options = format_of(name).options(FIVE, TOOLS, plain=False)
        offered = [tool.name for tool in options.tools]
        if name == "code_tool":
            assert offered == ["python", "answer"]
        elif name == "tool_calls":
            assert offered == [*(tool.name for tool in TOOLS), "answer"]
        else:
            assert offered == []
        assert (options.response_format is not None) == (name == "json_code")
    assert [t.name for t in format_of("tool_calls").options(FIVE, (), plain=False).tools] == [
        "answer"
    ]
    assert [t.name for t in format_of("code_tool").options(NO_TOOLS, (), plain=False).tools] == [
        "answer"
    ]


@pytest.mark.parametrize("name", FORMATS)
def test_plain_completions_have_no_function_calling_and_no_form(name: str) -> None:
    if name in ("code_tool", "tool_calls"):
        with pytest.raises(ConfigError, match="plain completions do not have"):
            format_of(name).options(FIVE, (), plain=True)
        return
    options = format_of(name).options(FIVE, (), plain=True)
    assert options.stop == protocol.POLICY_STOP_PLAIN
    assert (options.tools, options.response_format) == ((), None)


def test_a_tool_with_a_name_of_the_formats_own_is_refused() -> None:
    answer = ToolSpec("answer", "answer(value: str) -> str", "Answers.")
    with pytest.raises(ConfigError, match=r"prompt=tool_calls has answer for itself"):
        format_of("tool_calls").options(FIVE, (answer,), plain=False)
    strange = ToolSpec("café", "café() -> str", "Brews.")
    with pytest.raises(ConfigError, match="cannot be a function of the API"):
        format_of("tool_calls").options(FIVE, (strange,), plain=False)
    assert format_of("json").options(FIVE, (answer, strange), plain=False).tools == ()


# style


@pytest.mark.parametrize("name", FORMATS)
def test_examples_thoughts_and_the_system_message_are_switched_alone(name: str) -> None:
    usual = format_of(name)

    def opened(**changes: bool) -> list[Any]:
        return usual.styled(Style(**changes)).opening(TASK, "reasoning", FIVE, TOOLS[:1])

    def words(messages: list[Any]) -> str:
        return "\n".join(message["content"] for message in messages)

    assert opened() == usual.opening(TASK, "reasoning", FIVE, TOOLS[:1])
    for messages in (opened(), opened(system=True)):
        assert "Kettle Bridge" in words(messages) or name == "direct"
    bare = opened(example=False)
    assert len(bare) == 1
    assert bare[0]["content"].count("Task:\n") == 1
    assert bare[0]["content"].endswith("Task:\nHow many?\n")
    thoughtless = words(opened(thought=False))
    for word in ("think", "hought", "I do not know the year"):
        assert word in words(opened()) or name == "direct" or word != "I do not know the year"
        assert word not in thoughtless
    system = opened(system=True)
    assert [message["role"] for message in system][:2] == ["system", "user"]
    assert "You have 5 turns in all" in system[0]["content"]
    assert "You have 5 turns in all" not in words(system[1:])
    assert words(system[1:]).endswith("Task:\nHow many?\n")
    alone = opened(example=False, thought=False, system=True)
    assert [message["content"] for message in alone][1:] == ["Task:\nHow many?\n"]


def test_a_style_is_no_part_of_a_strategy_that_others_have() -> None:
    usual = format_of("json")
    assert usual.styled(Style(example=False)).style != usual.style
    assert usual.style == Style()
