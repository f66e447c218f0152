"""Runs trusted tests in a session; the names they test are proxies for another session.

The verdict falls here and only here. What comes back from the solution is read as data, so an
object that claims to equal everything arrives as an opaque handle that equals nothing but itself.
"""

import builtins
import collections
import json
from collections.abc import Callable, Iterator
from typing import Any

from codeact.edge.graders.guest.crossing import (
    ITEMS_AT_ONCE,
    MOST_ITEMS,
    Decoder,
    Encoder,
    Handle,
    refuse,
)

Relay = Callable[[str], str]


class Remote(Handle):
    """An object of the solution's.

    `own` says that the tests made it by calling a class; only then may it compare itself. It has
    no arithmetic and no order: a verdict may not rest on operators that the solution defined.
    """

    def __init__(self, relay: Relay, number: int, kind: str, *, own: bool = False) -> None:
        for name, value in {"relay": relay, "number": number, "kind": kind, "own": own}.items():
            object.__setattr__(self, name, value)

    relay: Relay
    own: bool

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        result = ask(self, "call", *args, **kwargs)
        if self.kind == "class" and isinstance(result, Remote):
            object.__setattr__(result, "own", True)
        return result

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return ask(self, "getattr", name)

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
        if self.number == other.number:
            return True
        return (self.own or other.own) and ask(self, "eq", other) is True

    def __hash__(self) -> int:
        return hash(self.number)


class RemoteIterator(Remote):
    """An iterator of the solution's, fetched by the handful and not for ever."""

    ahead: collections.deque[Any]
    fetched: int

    def __init__(self, relay: Relay, number: int) -> None:
        super().__init__(relay, number, "iterator")
        object.__setattr__(self, "ahead", collections.deque())
        object.__setattr__(self, "fetched", 0)

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        if not self.ahead:
            if self.fetched >= MOST_ITEMS:
                raise OverflowError("an iterator of the solution does not end")
            self.ahead.extend(ask(self, "take"))
            object.__setattr__(self, "fetched", self.fetched + ITEMS_AT_ONCE)
            if not self.ahead:
                raise StopIteration
        return self.ahead.popleft()


def ask(target: Remote, action: str, *args: Any, **kwargs: Any) -> Any:
    """Have the solution's session do something, with what it does to the arguments done here."""
    encoder = Encoder(refuse)
    coded = encoder.encode([target, list(args), kwargs])
    reply = json.loads(target.relay(json.dumps([action, coded])))
    if "raised" in reply:
        raise _as_raised(reply)
    find = _finder(target.relay)
    if "arguments" in reply:
        changed_args, changed_kwargs = Decoder(find).decode(reply["arguments"])
        _copy_back(args, tuple(changed_args))
        _copy_back(kwargs, changed_kwargs)
    return Decoder(find).decode(reply["result"])


def run_tests(tests: str, given: str, described: str, relay: Relay) -> bool:
    """Run the tests to their end; whatever they raise is the verdict "wrong"."""
    space: dict[str, Any] = {"__name__": "tests"}
    exec(compile(given, "<given>", "exec"), space)  # noqa: S102
    find = _finder(relay)
    for name, coded in json.loads(described).items():
        space[name] = Decoder(find).decode(coded)
    exec(compile(tests, "<tests>", "exec"), space)  # noqa: S102
    return True


def _finder(relay: Relay) -> Callable[[Handle], Remote]:
    def find(handle: Handle) -> Remote:
        if handle.kind == "iterator":
            return RemoteIterator(relay, handle.number)
        return Remote(relay, handle.number, handle.kind)

    return find


def _as_raised(reply: dict[str, Any]) -> Exception:
    for name in reply["raised"]:
        kind = getattr(builtins, str(name), None)
        # A StopIteration would end a test's own loop early, as if all had gone well.
        if (
            isinstance(kind, type)
            and issubclass(kind, Exception)
            and not issubclass(kind, StopIteration | StopAsyncIteration)
        ):
            try:
                return kind(str(reply["text"]))
            except TypeError:  # such as UnicodeDecodeError, which wants more
                continue
    return RuntimeError(str(reply["text"]))


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
