"""Hostile frames from inside a cell: each is ignored or ends its session, and no other's.

A cell finds its connection and writes to it what it likes, over all ways in which a host reaches a
guest. Whatever it was: a neighbour goes on, the session itself gets a working interpreter, no task
stays behind on the host, and all that reaches it is text that can be encoded and its own clock.
"""

import asyncio
import math
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import msgspec
import pytest
import pytest_asyncio

from codeact.episode.effects import Execution
from codeact.sandboxes.sandbox import GuestSandbox
from codeact.sandboxes.session import GuestSession
from tests.helpers.floods import PRELUDE
from tests.helpers.sandboxes import started

pytestmark = pytest.mark.asyncio(loop_scope="module")

WAYS: dict[str, dict[str, Any]] = {
    "local": {},
    "docker": {},
    "docker-exec": {"transport": "exec"},
}
NO_MESSAGE = "it sent what is not a message"
NOBODY_ASKED = "it sent replies to no request"
TOO_LARGE = "it sent a frame that is larger than any that may come"
TWO_CALLS = "it called a tool while another call was open"
IDLE_CALL = "it called a tool while no cell was running"

# name: what the cell sends. None of it is anything to the host, and the cell goes on.
IGNORED = {
    "empty object": "send({})",
    "unknown fields": "send({'a': 1, 'b': [{}], 'output': 'FORGED'})",
    "answer, id 0": "send({'id': 0, 'output': 'FORGED', 'status': 'ok'})",
    "answer, ids to 900": "for n in range(900): send({'id': n, 'output': 'FORGED'})",
    "answer, next id": "send({'id': number() + 1, 'output': 'FORGED', 'status': 'ok'})",
    "answer, no id": "send({'output': 'FORGED', 'status': 'ok', 'broken': True})",
    "answer, largest id": "send({'id': 2 ** 53 - 1, 'status': 'ok'})",
    "answer, half a pair in it": 'send(b\'{"id":1,"output":"\\\\ud800","status":"ok"}\')',
    "half a pair in unknown keys": 'send(b\'{"\\\\udfff":{"\\\\ud800x":"\\\\udc00"}}\')',
    "a digit too many for a float, unread": 'send(b\'{"seconds":1e400,"x":-1e999}\')',
    "an integer of 30,000 digits, unread": "send(b'{\"seconds\":' + b'9' * 30_000 + b'}')",
    "keys that come twice": 'send(b\'{"id":1,"id":2,"id":3}\')',
    "greeting once more": "send({'slot': 0, 'generation': 1})",
    "a reply": "send({'reply': 1, 'result': 'x'})",
    "a request": "send({'id': 1, 'do': 'execute', 'code': '1', 'seconds': 1})",
    "words of the server": "send({'ready': [], 'pid': 1})\nsend({'gone': 0, 'generation': 1})",
    "a kill": "for n in range(16): send({'kill': n, 'generation': 1})",
    "white space": "send(b' \\n\\t {} \\r\\n')",
    "60 kB that answer nothing": "send({'id': 1, 'output': 'x' * 60_000})",
    "999 frames": "raw(framed({}) * 999)",
    "byte by byte": "for byte in framed({'id': 1, 'output': 'x' * 500}): raw(bytes([byte]))",
    "call, then its reply is dropped": "send(call('echo', 1))\ntime.sleep(0.1)",
    "call, keywords that are no names": "send(call('echo', **{'a b': 1, '': 2, 'self': 3}))\n"
    "time.sleep(0.1)",
    "call, args an object": "send({**call('echo'), 'args': {}})\ntime.sleep(0.1)",
    "call, args null": "send({**call('echo'), 'args': None})\ntime.sleep(0.1)",
    "call, kwargs a list": "send({**call('echo'), 'kwargs': []})\ntime.sleep(0.1)",
    "call, 60 deep too much": "send({**call('echo'), 'args': [eval('[' * 60 + ']' * 60)] * 9})\n"
    "time.sleep(0.1)",
    "call, 200 deep": "send({**call('echo'), 'args': eval('[' * 80 + ']' * 80)})\ntime.sleep(0.1)",
    "call, 300,000 values": "send({**call('echo'), 'args': [0] * 300_000})\ntime.sleep(0.1)",
    "call, integer of 5,000 digits": 'send(b\'{"call":"echo","id":1,"kwargs":{},"args":[\''
    " + b'9' * 5000 + b']}')\ntime.sleep(0.1)",
    "call, 1e400": 'send(b\'{"call":"echo","id":1,"kwargs":{},"args":[1e400]}\')\ntime.sleep(0.1)',
}

# name: what the cell sends, and what ends it.
ENDING = {
    "an array": ("send([])", NO_MESSAGE),
    "a text": ("send('execute')", NO_MESSAGE),
    "a number": ("send(1)", NO_MESSAGE),
    "null": ("send(None)", NO_MESSAGE),
    "nothing": ("send(b'')", NO_MESSAGE),
    "no JSON": ("send(b'junk')", NO_MESSAGE),
    "half an object": ("send(b'{\"id\":1')", NO_MESSAGE),
    "two objects": ("send(b'{} {}')", NO_MESSAGE),
    "NaN": ('send(b\'{"id":1,"seconds":NaN}\')', NO_MESSAGE),
    "Infinity": ("send(b'{\"seconds\":-Infinity}')", NO_MESSAGE),
    "text that is no UTF-8": ('send(b\'{"output":"\\xff\\xfe"}\')', NO_MESSAGE),
    "a surrogate in UTF-8": ('send(b\'{"output":"\\xed\\xa0\\x80"}\')', NO_MESSAGE),
    "UTF-16": ("send('{}'.encode('utf-16'))", NO_MESSAGE),
    "a byte order mark": ("send(b'\\xef\\xbb\\xbf{}')", NO_MESSAGE),
    "a bare control character": ('send(b\'{"output":"\\x00"}\')', NO_MESSAGE),
    "Python": ("send(b\"{'id': 1}\")", NO_MESSAGE),
    "id, a text": ("send({'id': '1'})", NO_MESSAGE),
    "id, a truth": ("send({'id': True})", NO_MESSAGE),
    "id, null": ("send({'id': None})", NO_MESSAGE),
    "id, a fraction": ("send({'id': 1.0})", NO_MESSAGE),
    "id, a list": ("send({'id': [1]})", NO_MESSAGE),
    "id, negative": ("send({'id': -1})", NO_MESSAGE),
    "id, 2**53": ("send({'id': 2 ** 53})", NO_MESSAGE),
    "id, 100 digits": ("send({'id': 10 ** 100})", NO_MESSAGE),
    "id, 6 MB of digits": ("send(b'{\"id\":' + b'9' * (6 << 20) + b'}')", NO_MESSAGE),
    "id, 20 MB": ("send({'id': 'x' * (20 << 20)})", TOO_LARGE),
    "slot, a truth": ("send({'slot': True, 'generation': 1})", NO_MESSAGE),
    "answer, no status": ("send({'id': number(), 'output': 'FORGED'})", NO_MESSAGE),
    "answer, status unknown": ("send({'id': number(), 'status': 'oom'})", NO_MESSAGE),
    "answer, status a number": ("send({'id': number(), 'status': 0})", NO_MESSAGE),
    "answer, output a list": (
        "send({'id': number(), 'status': 'ok', 'output': ['x']})",
        NO_MESSAGE,
    ),
    "answer, output null": ("send({'id': number(), 'status': 'ok', 'output': None})", NO_MESSAGE),
    "answer, error an object": ("send({'id': number(), 'status': 'ok', 'error': {}})", NO_MESSAGE),
    "answer, broken a text": ("send({'id': number(), 'status': 'ok', 'broken': ''})", NO_MESSAGE),
    "nested in a field that nobody reads": ("send(b'{\"x\":' + b'[' * (1 << 20))", NO_MESSAGE),
    "nested in a value": ("send(b'{\"value\":' + b'{\"a\":' * 100_000)", NO_MESSAGE),
    "nested in a call": (
        'send(b\'{"call":"echo","id":1,"kwargs":{},"args":\' + b\'[\' * 100_000 + b\']\' * 100_000'
        " + b'}')",
        NO_MESSAGE,
    ),
    "4 GB announced": ("raw(b'\\xff\\xff\\xff\\xff')", TOO_LARGE),
    "2 GB announced": ("raw(b'\\x80\\x00\\x00\\x00')", TOO_LARGE),
    "7 MB announced": ("raw(struct.pack('>I', 7 << 20))", TOO_LARGE),
    "70 kB that answer nothing": ("send({'id': 1, 'output': 'x' * 70_000})", NOBODY_ASKED),
    "6 MB that answer nothing": ("send({'id': 1, 'output': 'x' * (6 << 20)})", NOBODY_ASKED),
    "1,000 frames": ("raw(framed({}) * 1000)", NOBODY_ASKED),
    "frames without end": ("while True: raw(framed({}) * 1000)", NOBODY_ASKED),
    "many halves of pairs": (
        "send(b'{\"output\":\"' + b'\\\\ud800' * 100_000 + b'\"}')",
        NO_MESSAGE,
    ),
    "call, no such tool": ("send(call('open', '/etc/passwd'))", NO_MESSAGE),
    "call, of what a tool is made of": ("send(call('__class__'))", NO_MESSAGE),
    "call, name a list": ("send({**call('echo'), 'call': ['echo']})", NO_MESSAGE),
    "call, name null": ("send({**call('echo'), 'call': None})", NO_MESSAGE),
    "call, no id": ("send({'call': 'echo', 'args': [], 'kwargs': {}})", NO_MESSAGE),
    "call, id a text": ("send(call('echo', id='x' * 100_000))", NO_MESSAGE),
    "call, id a truth": ("send(call('echo', id=False))", NO_MESSAGE),
    "call, no args": ("send({'call': 'echo', 'id': 1, 'kwargs': {}})", NO_MESSAGE),
    "call, no kwargs": ("send({'call': 'echo', 'id': 1, 'args': []})", NO_MESSAGE),
    "call, NaN": ("send(call('echo', float('nan')))", NO_MESSAGE),
    "call, too large": (
        "send(call('echo', 'x' * (1 << 20)))",
        "it called a tool with more than it may send",
    ),
    "call, name of 1 MB": ("send(call('x' * (1 << 20)))", NO_MESSAGE),
    "two calls": ("raw(framed(call('slow', 9)) * 2)", TWO_CALLS),
    "two calls of other ids": ("send(call('slow', 9))\nsend(call('echo', 1, id=2))", TWO_CALLS),
    "1,000 calls": ("raw(framed(call('slow', 9)) * 1000)", TWO_CALLS),
    "a call by a child beside one of ours": (
        "import os\nif not os.fork():\n    send(call('slow', 9, id=7))\n    time.sleep(30)\n"
        "time.sleep(0.3)\nslow(9)",
        TWO_CALLS,
    ),
    "replies that nobody reads": (
        # Not before the last is answered, on all but the busiest machines.
        "for n in range(200):\n    send(call('big', 1 << 18, id=n))\n    time.sleep(0.03)",
        ("it does not read its connection", "killed by SIGKILL", "it exited", TWO_CALLS),
    ),
    "the connection shut": (
        "import socket\nsocket.socket(fileno=os.dup(fd)).shutdown(socket.SHUT_RDWR)",
        ("killed by SIGKILL", "it exited"),
    ),
}

# From a thread while no cell runs: the next cell learns of it.
IDLE = {
    "a call": ("send(call('echo', 1))", IDLE_CALL),
    "70 kB": ("send({'id': 1, 'output': 'x' * 70_000})", TOO_LARGE),
    "no message": ("send([])", NO_MESSAGE),
    "1,000 frames": ("raw(framed({}) * 1000)", NOBODY_ASKED),
}

# Answers to the cell's own request: it may lie about itself, in bounds.
FORGED = {
    "plain": ("{'output': 'FORGED', 'status': 'ok'}", "FORGED"),
    "seconds 1e400": ("{'output': 'FORGED', 'status': 'ok', 'seconds': '1e400'}", "FORGED"),
    "seconds negative": ("{'output': 'FORGED', 'status': 'ok', 'seconds': -1e9}", "FORGED"),
    "seconds huge": ("{'output': 'FORGED', 'status': 'ok', 'seconds': 10 ** 300}", "FORGED"),
    "seconds a list": ("{'output': 'FORGED', 'status': 'ok', 'seconds': [[]]}", "FORGED"),
    "half a pair": ("{'output': '\\ud800|\\udfff', 'status': 'ok'}", "\\ud800|\\udfff"),
    "a pair": ("{'output': '\\U0001f600', 'status': 'ok'}", "\U0001f600"),
    "pairs and backslashes": (
        "{'output': '\\\\\\\\ud800 \\\\ \\ud800 \\U0001f600', 'status': 'ok'}",
        "\\\\ud800 \\ \\ud800 \U0001f600",
    ),
    "control characters": (
        "{'output': 'a\\x00b\\x1b\\x7f\\u2028', 'status': 'ok'}",
        "a\0b\x1b\x7f\u2028",
    ),
    "too much output": ("{'output': 'x' * (5 << 20), 'status': 'ok'}", "x" * (1 << 20)),
    "a value nobody asked for": ("{'status': 'ok', 'value': [1, {'a': '\\ud800'}]}", ""),
}


class Scene(NamedTuple):
    """A sandbox, and a session in it that must never notice anything."""

    sandbox: GuestSandbox
    neighbour: GuestSession

    async def undisturbed(self) -> None:
        """Check that the neighbour goes on, and that the host has forgotten the attacker."""
        beat = await self.neighbour.execute("beats += 1\nprint(beats == last + 1)\nlast = beats")
        assert (beat.output, beat.status) == ("True\n", "ok")
        for _ in range(500):
            left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            if not left and self.sandbox.live == 1:
                return
            await asyncio.sleep(0.01)
        raise AssertionError(left)


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=WAYS)
async def scene(request: pytest.FixtureRequest) -> AsyncIterator[Scene]:
    kind = request.param.partition("-")[0]
    if kind == "docker":
        request.getfixturevalue("docker_engine")
    sandbox = await started(kind, preload=(), cell_seconds=20.0, **WAYS[request.param])
    server = sandbox._server
    neighbour = await sandbox.session()
    await neighbour.execute("beats = last = 0")
    yield Scene(sandbox, neighbour)
    assert sandbox._server is server, "the server died"
    await neighbour.close()
    await sandbox.close()


async def echo(*args: Any, **kwargs: Any) -> Any:
    msgspec.json.encode([args, kwargs])  # what a tool is given can be encoded
    return [list(args), kwargs]


async def slow(seconds: float) -> str:
    await asyncio.sleep(seconds)
    return "late"


async def big(size: int) -> str:
    return "x" * (size - 2)


async def attacker(scene: Scene) -> GuestSession:
    return await scene.sandbox.session(
        setup=PRELUDE, tools={"echo": echo, "slow": slow, "big": big}
    )


async def still_works(session: GuestSession) -> None:
    again = await session.execute("6 * 7")
    assert again.output.endswith("]: 42\n"), again
    assert (again.status, again.state_lost) == ("ok", False)
    assert (await session.execute("echo('a', b=1)")).output.endswith("]: [['a'], {'b': 1}]\n")


def in_bounds(result: Execution) -> None:
    """Check what would go into a record."""
    assert msgspec.json.decode(msgspec.json.encode(result), type=Execution) == result
    assert math.isfinite(result.seconds)
    assert 0 <= result.seconds < 60
    assert len(result.output) <= (1 << 20) + 200


@pytest.mark.parametrize("name", IGNORED)
async def test_ignored(scene: Scene, name: str) -> None:
    async with await attacker(scene) as session:
        result = await session.execute(f"{IGNORED[name]}\nprint('on')")
        assert (result.output, result.status, result.state_lost) == ("on\n", "ok", False)
        in_bounds(result)
        await still_works(session)
    await scene.undisturbed()


@pytest.mark.parametrize("name", ENDING)
async def test_ends_its_session(scene: Scene, name: str) -> None:
    code, why = ENDING[name]
    async with await attacker(scene) as session:
        result = await session.execute(f"{code}\ntime.sleep(30)")
        assert (result.status, result.state_lost) == ("killed", True), result
        reasons = (why,) if isinstance(why, str) else why
        assert result.output in [
            f"[The Python interpreter was stopped ({reason}); variables, imports and files are "
            "lost.]"
            for reason in reasons
        ]
        in_bounds(result)
        await still_works(session)
    await scene.undisturbed()


@pytest.mark.parametrize("name", IDLE)
async def test_between_cells(scene: Scene, name: str) -> None:
    code, why = IDLE[name]
    lines = "\n".join(f"    {line}" for line in code.splitlines())
    thread = f"import threading\ndef later():\n    time.sleep(0.2)\n{lines}\n"
    async with await attacker(scene) as session:
        first = await session.execute(f"{thread}threading.Thread(target=later).start()")
        assert first.status == "ok"
        for _ in range(1000):
            if session._lost:
                break
            await asyncio.sleep(0.01)
        result = await session.execute("1")
        assert (result.status, result.state_lost) == ("killed", True)
        assert f"({why})" in result.output
        await still_works(session)
    await scene.undisturbed()


@pytest.mark.parametrize("name", FORGED)
async def test_a_forged_answer_lies_about_its_own_cell_alone(scene: Scene, name: str) -> None:
    answer, expected = FORGED[name]
    raw = "body = json.dumps({'id': number(), **answer}).replace('\"1e400\"', '1e400')"
    async with await attacker(scene) as session:
        result = await session.execute(
            f"answer = {answer}\n{raw}\nkept = 1\n"
            "raw(framed(body.encode()) * (2 if len(body) < 60_000 else 1))"
        )
        assert result.output == expected
        in_bounds(result)
        await still_works(session)
        assert (await session.execute("print(kept)")).output == "1\n"
    await scene.undisturbed()


async def test_an_answer_is_no_answer_to_what_is_asked_next(scene: Scene) -> None:
    """Neither sent ahead, with every number near, nor by a child that an earlier cell left."""
    ahead = (
        "for n in range(400): send({'id': number() + n + 1, 'status': 'ok', 'output': 'FORGED'})"
    )
    child = (
        "if not os.fork():\n    for n in range(400):\n"
        "        send({'id': number() + n + 1, 'status': 'ok', 'output': 'FORGED'})\n"
        "        time.sleep(0.001)\n    os._exit(0)"
    )
    async with await attacker(scene) as session:
        for code in (ahead, child):
            assert (await session.execute(code)).output == ""
            for _ in range(20):
                assert (await session.execute("print('mine')")).output == "mine\n"
    await scene.undisturbed()


async def test_half_a_frame_is_held_no_longer_than_the_cell_may_run(scene: Scene) -> None:
    async with await attacker(scene) as session:
        half = "raw(struct.pack('>I', 4 << 20) + bytes(3 << 20))"
        result = await session.execute(half, seconds=0.5)
        assert (result.status, result.state_lost) == ("timeout", True)
        in_bounds(result)
        await still_works(session)
    await scene.undisturbed()


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("send([])", NO_MESSAGE),
        ("send({'id': number(), 'ok': True})", NO_MESSAGE),
        ("raw(framed(call('slow', 9)) * 2)", TWO_CALLS),
        ("send({'id': 'x' * (20 << 20)})", TOO_LARGE),
    ],
)
async def test_a_program_is_ended_like_a_cell(scene: Scene, code: str, why: str) -> None:
    async with await attacker(scene) as session:
        result = await session.evaluate(f"{PRELUDE}\n{code}\ntime.sleep(30)", seconds=20)
        assert (result.ok, result.status, result.error) == (False, "killed", f"SessionEnded: {why}")
        await still_works(session)
    await scene.undisturbed()


async def test_values_and_errors_are_bounded_text(scene: Scene) -> None:
    forged = "{PRELUDE}\nsend({'id': number(), 'ok': True, 'status': 'ok', 'value': VALUE})"
    async with await attacker(scene) as session:

        async def value_of(source: str) -> Any:
            answer = await session.evaluate(source, seconds=20)
            msgspec.json.encode(answer)
            return answer.value

        async def forge(value: str) -> Any:
            return await value_of(forged.replace("{PRELUDE}", PRELUDE).replace("VALUE", value))

        keys = "{'\\ud800': ['\\udc00', {'\\udfff': 'a\\x00\\x1b'}]}"
        expected = {"\\ud800": ["\\udc00", {"\\udfff": "a\x00\x1b"}]}
        assert await value_of(f"RESULT = {keys}") == expected
        assert await forge(keys) == expected
        assert await forge("[1, 'é', None, 1.5, True, 2 ** 70]") == [1, "é", None, 1.5, True, 2**70]
        assert await value_of("RESULT = 'x' * 8_000_000") == "x" * 8_000_000
        for refused in ("float('inf')", "[[]] * 2_000_000", "eval('[' * 80 + ']' * 80)"):
            assert await value_of(f"RESULT = {refused}") is None
        assert await forge("[[]] * 2_000_000") is None
        raised = await session.evaluate("raise ValueError('\\ud800' + 'x' * 50_000)", seconds=20)
        assert raised.error.startswith("ValueError: \\ud800xxx")
        assert len(raised.error) <= 20_000
        msgspec.json.encode(raised)
        long = f"{PRELUDE}\nsend({{'id': number(), 'status': 'error', 'error': 'y' * (6 << 20)}})"
        assert len((await session.evaluate(long, seconds=20)).error) <= 20_000
        await still_works(session)
        cell = await session.execute("print('\\ud800\\x00')\nraise ValueError('\\udc00')")
        assert cell.output.startswith("\\ud800\x00\n")
        assert cell.output.endswith("ValueError: \\udc00\n")
        in_bounds(cell)
    await scene.undisturbed()


async def test_replies_hold_a_checked_number_and_a_bounded_error(scene: Scene) -> None:
    look = (
        "def answer_to(body):\n    send(body)\n    head = os.read(fd, 4)\n"
        "    size, got = struct.unpack('>I', head)[0], b''\n"
        "    while len(got) < size: got += os.read(fd, size - len(got))\n    return got\n"
    )
    async with await attacker(scene) as session:
        plain = await session.execute(f"{look}print(answer_to(call('echo', 1, id=2 ** 53 - 1)))")
        assert plain.output == 'b\'{"reply":9007199254740991,"result":[[1],{}]}\'\n'
        long = await session.execute(
            f"{look}print(len(answer_to(call('slow', 1, **{{'k' * 900_000: 1}}))))"
        )
        assert int(long.output) < 21_000
        await still_works(session)
    await scene.undisturbed()


async def test_calls_have_limits_that_outlive_an_interpreter(scene: Scene) -> None:
    settings = scene.sandbox.settings
    changes = {"tool_calls_per_cell": 5, "tool_calls_per_session": 12}
    count = (
        "good = bad = 0\nfor n in range(8):\n    try: echo(n); good += 1\n"
        "    except ToolError as error: bad += 1; said = str(error)\nprint(good, bad, said)"
    )
    scene.sandbox.settings = settings.model_copy(update=changes)
    try:
        async with await attacker(scene) as session:
            cell = await session.execute(count)
            assert cell.output == "5 3 a cell may call tools 5 times, not more\n"
            # What graders run has its time, and no such limit.
            program = await session.evaluate(f"{count}\n", seconds=20)
            assert program.error.startswith("NameError")
            assert (await session.execute("os._exit(0)")).state_lost
            cell = await session.execute(count)
            assert cell.output == "4 4 an episode may call tools 12 times, not more\n"
            cell = await session.execute("echo(1)")
            assert cell.output.endswith("ToolError: an episode may call tools 12 times, not more\n")
    finally:
        scene.sandbox.settings = settings
    await scene.undisturbed()


async def test_an_honest_thread_calls_while_a_cell_runs_and_only_then(scene: Scene) -> None:
    """What a cell leaves behind neither breaks the session nor takes a later cell's words."""
    code = (
        "import threading\nsaid = []\ndef work():\n    for n in range(200):\n"
        "        try: said.append(echo(n)[0][0])\n"
        "        except ToolError as error: said.append(str(error))\n        time.sleep(0.002)\n"
        "threading.Thread(target=work, daemon=True).start()\ntime.sleep(0.05)"
    )
    async with await attacker(scene) as session:
        assert (await session.execute(code)).status == "ok"
        for number in range(20):
            assert (await session.execute(f"print({number})")).output == f"{number}\n"
            assert (await session.execute("print(echo('mine')[0][0])")).output == "mine\n"
            await asyncio.sleep(0.01)
        said = await session.execute("print({str(s)[:40] for s in said if type(s) is not int})")
        assert "KeyError" not in said.output
        await still_works(session)
    await scene.undisturbed()


async def test_a_tool_that_does_not_end_when_told_to_holds_one_task(scene: Scene) -> None:
    let_go = asyncio.Event()
    runs = 0

    async def stubborn() -> str:
        nonlocal runs
        runs += 1
        while not let_go.is_set():
            try:
                await let_go.wait()
            except asyncio.CancelledError:
                continue
        return "at last"

    async with await scene.sandbox.session(tools={"stubborn": stubborn}) as session:
        for _ in range(5):
            assert (await session.execute("stubborn()", seconds=0.2)).status == "timeout"
        assert runs == 1
        assert len(asyncio.all_tasks()) < 6
        let_go.set()
        assert (await session.execute("stubborn()")).output == "Out[6]: 'at last'\n"
    await scene.undisturbed()
