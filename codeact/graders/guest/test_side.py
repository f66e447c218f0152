"""Runs trusted tests in a session; the names they test are proxies for another session.

The verdict falls here and only here. What comes back from the solution is read as data, so an
object that claims to equal everything arrives as an opaque handle that equals nothing but itself.
"""

import builtins
import collections
import json
from collections.abc import Callable, Iterator
from typing import Any

from codeact.graders.guest.clock import bound_processor_time
from codeact.graders.guest.crossing import (
    ITEMS_AT_ONCE,
    MOST_ITEMS,
    Decoder,
    Encoder,
    Handle,
    kind_of,
    number_of,
    refuse,
)

Relay = Callable[[str], str]
"""Takes a request to the solution's session; an empty one asks once more for the last one's end."""
STILL_BUSY = "busy"
"""What the relay returns while the solution is at work: a call of the host is not to last long."""
_MOST_KINDS = 20


class Remote(Handle):
    """An object of the solution's.

    Where the task's own solution has a class, the solution's may make objects that compare
    themselves with each other (`own`). No other object may, and none has arithmetic or an order: a
    verdict may not rest on operators that the solution defined.
    """

    _remote_relay: Relay
    _remote_makes: bool
    _remote_own: bool

    def __init__(self, relay: Relay, number: int, kind: str) -> None:
        mine = {"_handle_number": number, "_handle_kind": kind, "_remote_relay": relay}
        for name, value in {**mine, "_remote_makes": False, "_remote_own": False}.items():
            object.__setattr__(self, name, value)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        result = ask(self, "call", *args, **kwargs)
        if self._remote_makes and isinstance(result, Remote):
            object.__setattr__(result, "_remote_own", True)
        return result

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        result = ask(self, "getattr", name)
        if self._remote_makes and isinstance(result, Remote):
            may_make_own(result)
        return result

    def __setattr__(self, name: str, value: Any) -> None:
        ask(self, "setattr", name, value)

    def __getitem__(self, key: Any) -> Any:
        return ask(self, "getitem", key)

    def __setitem__(self, key: Any, value: Any) -> None:
        ask(self, "setitem", key, value)

    def __len__(self) -> int:
        return int(ask(self, "len"))

    def __bool__(self) -> bool:
        return bool(ask(self, "bool"))

    def __int__(self) -> int:
        return int(ask(self, "int"))

    def __float__(self) -> float:
        return float(ask(self, "float"))

    def __str__(self) -> str:
        return str(ask(self, "str"))

    def __repr__(self) -> str:
        return str(ask(self, "repr"))

    def __iter__(self) -> Iterator[Any]:
        return iter(ask(self, "iter"))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Remote):
            return False
        if number_of(self) == number_of(other):
            return True
        return (self._remote_own or other._remote_own) and ask(self, "eq", other) is True

    def __hash__(self) -> int:
        return hash(number_of(self))


class RemoteIterator(Remote):
    """An iterator of the solution's, fetched by the handful and not for ever."""

    _remote_ahead: collections.deque[Any]
    _remote_fetched: int

    def __init__(self, relay: Relay, number: int) -> None:
        super().__init__(relay, number, "iterator")
        object.__setattr__(self, "_remote_ahead", collections.deque())
        object.__setattr__(self, "_remote_fetched", 0)

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        if not self._remote_ahead:
            if self._remote_fetched >= MOST_ITEMS:
                raise OverflowError("an iterator of the solution does not end")
            self._remote_ahead.extend(ask(self, "take"))
            object.__setattr__(self, "_remote_fetched", self._remote_fetched + ITEMS_AT_ONCE)
            if not self._remote_ahead:
                raise StopIteration
        return self._remote_ahead.popleft()


def may_make_own(remote: Remote) -> None:
    """Let a class make objects that compare themselves."""
    object.__setattr__(remote, "_remote_makes", kind_of(remote) == "class")


FAULTS: list[BaseException] = []
"""What went wrong between the sessions: tests that catch it are not passed by that."""


def ask(target: Remote, action: str, *args: Any, **kwargs: Any) -> Any:
    """Have the solution's session do something, with what it does to the arguments done here."""
    try:
        raised, result = _ask(target, action, args, kwargs)
    except BaseException as fault:
        FAULTS.append(fault)
        raise
    if raised is not None:
        raise raised
    return result


def _ask(
    target: Remote, action: str, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[Exception | None, Any]:
    encoder = Encoder(refuse)
    coded = encoder.encode([target, list(args), kwargs])
    relay = target._remote_relay
    text = relay(json.dumps([action, coded]))
    while text == STILL_BUSY:
        text = relay("")
    reply = json.loads(text)
    if "raised" in reply:
        return _as_raised(reply), None
    find = _finder(relay)
    if "arguments" in reply:
        changed_args, changed_kwargs = Decoder(find).decode(reply["arguments"])
        _copy_back(args, tuple(changed_args))
        _copy_back(kwargs, changed_kwargs)
    return None, Decoder(find).decode(reply["result"])


def run_tests(
    tests: str,
    given: str,
    described: str,
    names: dict[str, str],
    *,
    relay: Relay,
    seconds: float,
) -> bool:
    """Run the tests to their end; whatever they raise is the verdict "wrong".

    `names` are the tests' own wishes, and what each is in the task's own solution: a ``class``, a
    ``value``, or ``unknown``. Nothing else that the solution describes gets a name here. `seconds`
    bound the tests' processor time: the solution may send them any amount of data.
    """
    bound_processor_time(seconds)
    space: dict[str, Any] = {"__name__": "tests"}
    exec(compile(given, "<given>", "exec"), space)  # noqa: S102
    find, found = _finder(relay), json.loads(described)
    for name, kind in names.items():
        if name in found and not (kind == "unknown" and name in space):
            space[name] = value = Decoder(find).decode(found[name])
            if isinstance(value, Remote) and kind != "value":
                may_make_own(value)
    exec(compile(tests, "<tests>", "exec"), space)  # noqa: S102
    if FAULTS:
        raise FAULTS[0]
    return True


def _finder(relay: Relay) -> Callable[[Handle], Remote]:
    def find(handle: Handle) -> Remote:
        number, kind = number_of(handle), kind_of(handle)
        return RemoteIterator(relay, number) if kind == "iterator" else Remote(relay, number, kind)

    return find


def _as_raised(reply: dict[str, Any]) -> Exception:
    text = str(reply["text"])
    for name in list(reply["raised"])[:_MOST_KINDS]:
        kind = getattr(builtins, str(name), None)
        # A StopIteration would end a test's own loop early, as if all had gone well.
        if (
            isinstance(kind, type)
            and issubclass(kind, Exception)
            and not issubclass(kind, StopIteration | StopAsyncIteration)
        ):
            try:
                return kind(text)
            except TypeError:  # such as UnicodeDecodeError, which wants more
                continue
    return RuntimeError(text)


def _copy_back(old: Any, new: Any) -> None:
    """Make `old` what the solution made of its copy, keeping the objects the tests hold."""
    if isinstance(old, list | tuple | collections.deque):
        _copy_sequence(old, new)
    elif isinstance(old, dict) and isinstance(new, dict):
        for key in old:
            if key in new and _same_container(old[key], new[key]):
                _copy_back(old[key], new[key])
                new[key] = old[key]
        old.clear()
        old.update(new)
    elif isinstance(old, set) and isinstance(new, set):
        old.clear()
        old.update(new)
    elif isinstance(old, bytearray) and isinstance(new, bytearray):
        old[:] = new
    elif type(old).__name__ == "ndarray" and getattr(new, "shape", None) == old.shape:
        old[...] = new


def _copy_sequence(old: Any, new: Any) -> None:
    if not isinstance(new, list | tuple | collections.deque):
        return
    merged = list(new)
    for position, (before, after) in enumerate(zip(old, new, strict=False)):
        if _same_container(before, after):
            _copy_back(before, after)
            merged[position] = before
    if isinstance(old, list):
        old[:] = merged
    elif isinstance(old, collections.deque):
        old.clear()
        old.extend(merged)


def _same_container(one: Any, other: Any) -> bool:
    containers = (list, tuple, dict, set, bytearray, collections.deque)
    return type(one) is type(other) and (
        isinstance(one, containers) or type(one).__name__ == "ndarray"
    )
