"""How values cross between a session with tests and a session with a solution: as data only.

JSON's own scalars stand for themselves; everything else is a list that starts with a tag. Mutable
containers are numbered in the order in which they are met, so that aliases and cycles survive.
What is not data crosses as a handle, by way of `keep` and `find`.
"""

import base64
import collections
import collections.abc
import datetime
import decimal
import fractions
import json
import marshal
import math
import numbers
import re
import types
from collections.abc import Callable, Iterator
from typing import Any

SAFE_INT = 2**53
ITEMS_AT_ONCE = 64
MOST_ITEMS = 1_000_000


class UncrossableError(Exception):
    """A value of the tests cannot be sent to the solution; the grader's limit, not its fault."""


class Handle:
    """Stands for an object that stays where it is.

    What it needs for itself is named so that no attribute of the object is hidden behind it.
    """

    _handle_number: int
    _handle_kind: str

    def __init__(self, number: int, kind: str) -> None:
        self._handle_number = number
        self._handle_kind = kind


def number_of(handle: Handle) -> int:
    """Return the number under which the object is kept."""
    return handle._handle_number


def kind_of(handle: Handle) -> str:
    """Return what the object was said to be: object, class or iterator."""
    return handle._handle_kind


Keep = Callable[[Any], Handle]
Find = Callable[[Handle], Any]


class Encoder:
    """Turns one value into tagged JSON."""

    def __init__(self, keep: Keep) -> None:
        self.keep = keep
        self.seen: dict[int, int] = {}
        self.alive: list[Any] = []

    def encode(self, value: Any) -> Any:
        """Write a value; a subclass counts as the nearest class known here."""
        if isinstance(value, Handle):
            return ["h", number_of(value), kind_of(value)]
        kind = type(value)
        writer = WRITERS.get(kind)
        if writer is None and kind.__module__ != "numpy":  # where float64 is a float
            writer = next((WRITERS[base] for base in kind.__mro__ if base in WRITERS), None)
        return self.other(value) if writer is None else writer(self, value)

    def items(self, values: Any) -> list[Any]:
        return [self.encode(value) for value in values]

    def first_time(self, value: Any) -> bool:
        """Give a mutable container its number; False when it has one already."""
        if id(value) in self.seen:
            return False
        self.seen[id(value)] = len(self.seen)
        self.alive.append(value)
        return True

    def other(self, value: Any) -> Any:
        module = type(value).__module__.partition(".")[0]
        if module == "numpy" and hasattr(value, "dtype") and value.dtype.kind in "biufcSUmM":
            return self.numpy(value)
        if isinstance(value, numbers.Real):  # sympy's numbers, for example
            return self.encode(_plain_number(value))
        if isinstance(value, type) and value.__module__ == "builtins":
            return ["type", value.__name__]
        if isinstance(value, collections.abc.Iterator):
            return _iterator(self, value)
        handle = self.keep(value)
        return ["h", number_of(handle), kind_of(handle)]

    def numpy(self, value: Any) -> Any:
        if value.ndim and not self.first_time(value):
            return ["@", self.seen[id(value)]]
        raw = base64.b64encode(value.tobytes()).decode("ascii")
        return ["np", value.dtype.str, list(value.shape), isinstance(value, _ndarray()), raw]


def _plain_number(value: numbers.Real) -> int | float | fractions.Fraction:
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Rational):
        return fractions.Fraction(int(value.numerator), int(value.denominator))
    return float(value)


def _ndarray() -> type:
    import numpy

    return numpy.ndarray


def _text(_encoder: Encoder, value: str) -> Any:
    value = str.__str__(value)
    try:
        value.encode()
    except UnicodeEncodeError:
        return ["s", base64.b64encode(value.encode("utf-8", "surrogatepass")).decode("ascii")]
    return value


def _integer(_encoder: Encoder, value: int) -> Any:
    value = int.__int__(value)
    return value if -SAFE_INT < value < SAFE_INT else ["i", hex(value)]


def _float(_encoder: Encoder, value: float) -> Any:
    value = float.__float__(value)
    return value if math.isfinite(value) else ["f", repr(value)]


def _numbered(tag: str, content: Callable[[Encoder, Any], list[Any]]) -> Any:
    def write(encoder: Encoder, value: Any) -> Any:
        if not encoder.first_time(value):
            return ["@", encoder.seen[id(value)]]
        return [tag, *content(encoder, value)]

    return write


def _pairs(encoder: Encoder, value: Any) -> list[Any]:
    return [[encoder.encode(key), encoder.encode(item)] for key, item in value.items()]


def _bytes(_encoder: Encoder, value: Any) -> list[Any]:
    return [base64.b64encode(bytes(value)).decode("ascii")]


def _function(encoder: Encoder, value: types.FunctionType) -> Any:
    if encoder.keep is not refuse:
        return encoder.other(value)
    if value.__closure__:
        raise UncrossableError("a function of the tests that closes over variables")
    code = base64.b64encode(marshal.dumps(value.__code__)).decode("ascii")
    return ["def", code, value.__name__, encoder.encode(value.__defaults__)]


def _iterator(encoder: Encoder, value: Iterator[Any]) -> Any:
    if encoder.keep is not refuse:
        handle = encoder.keep(value)
        return ["it", number_of(handle)]
    return ["iter", encoder.items(item for item, _ in zip(value, range(MOST_ITEMS), strict=False))]


def refuse(value: Any) -> Handle:
    """Stand in for `keep` on the tests' side: there, only data may leave."""
    raise UncrossableError(f"an object of type {type(value).__name__}")


WRITERS: dict[type, Callable[[Encoder, Any], Any]] = {
    type(None): lambda _e, _v: None,
    bool: lambda _e, v: v,
    str: _text,
    int: _integer,
    float: _float,
    complex: lambda e, v: ["c", e.encode(v.real), e.encode(v.imag)],
    bytes: lambda e, v: ["b", *_bytes(e, v)],
    bytearray: _numbered("ba", _bytes),
    tuple: lambda e, v: ["t", *e.items(tuple.__iter__(v))],
    frozenset: lambda e, v: ["fs", *e.items(frozenset.__iter__(v))],
    range: lambda e, v: ["range", *e.items((v.start, v.stop, v.step))],
    list: _numbered("l", lambda e, v: e.items(list.__iter__(v))),
    set: _numbered("set", lambda e, v: e.items(set.__iter__(v))),
    collections.deque: _numbered("dq", lambda e, v: [v.maxlen, *e.items(v)]),
    dict: _numbered("d", _pairs),
    collections.OrderedDict: _numbered("od", _pairs),
    collections.Counter: _numbered("count", _pairs),
    type({}.keys()): lambda e, v: ["keys", *e.items(v)],
    type({}.values()): lambda e, v: ["values", *e.items(v)],
    type({}.items()): lambda e, v: ["pairs", *e.items(v)],
    decimal.Decimal: lambda _e, v: ["dec", str(v)],
    fractions.Fraction: lambda e, v: ["frac", e.encode(v.numerator), e.encode(v.denominator)],
    datetime.datetime: lambda _e, v: ["datetime", v.isoformat()],
    datetime.date: lambda _e, v: ["date", v.isoformat()],
    datetime.time: lambda _e, v: ["time", v.isoformat()],
    datetime.timedelta: lambda _e, v: ["delta", v.days, v.seconds, v.microseconds],
    types.FunctionType: _function,
    types.GeneratorType: _iterator,
    map: _iterator,
    filter: _iterator,
    zip: _iterator,
    enumerate: _iterator,
    reversed: _iterator,
}


class Decoder:
    """Turns tagged JSON back into a value; makes no other types than those written above.

    It reads what a solution made up, so no reader may run code: ``def`` is read elsewhere.
    """

    def __init__(self, find: Find) -> None:
        self.find = find
        self.numbered: list[Any] = []

    def decode(self, coded: Any) -> Any:
        if not isinstance(coded, list | dict):
            return coded
        reader = READERS.get(coded[0]) if isinstance(coded, list) else None
        if reader is None:
            raise ValueError("a value that cannot be read")
        return reader(self, coded[1:])

    def items(self, coded: list[Any]) -> list[Any]:
        return [self.decode(item) for item in coded]

    def pairs(self, coded: list[Any]) -> list[tuple[Any, Any]]:
        return [(self.decode(key), self.decode(item)) for key, item in coded]

    def number(self, value: Any) -> Any:
        self.numbered.append(value)
        return value


def _filled(make: Callable[[], Any], fill: str) -> Callable[[Decoder, list[Any]], Any]:
    def read(decoder: Decoder, coded: list[Any]) -> Any:
        # Numbered before it is filled, because what it holds may refer to it.
        value = decoder.number(make())
        getattr(value, fill)(decoder.items(coded))
        return value

    return read


def _mapping(make: Callable[[], Any]) -> Callable[[Decoder, list[Any]], Any]:
    def read(decoder: Decoder, coded: list[Any]) -> Any:
        value = decoder.number(make())
        value.update(dict(decoder.pairs(coded)))
        return value

    return read


def _deque(decoder: Decoder, coded: list[Any]) -> Any:
    value = decoder.number(collections.deque(maxlen=coded[0]))
    value.extend(decoder.items(coded[1:]))
    return value


# No array of objects, nor of records that hold any.
_DTYPE = re.compile(r"[<>|=][biufcSUmM][0-9]{1,9}(?:\[[0-9]{0,9}[A-Za-z]{1,2}\])?")


def _array(decoder: Decoder, coded: list[Any]) -> Any:
    import numpy as np

    dtype, shape, is_array, raw = coded
    if not _DTYPE.fullmatch(dtype):
        raise ValueError("an array that cannot be read")
    value = np.frombuffer(base64.b64decode(raw), dtype=np.dtype(dtype)).reshape(shape).copy()
    if is_array and shape:
        decoder.number(value)
    return value if is_array else value[()]


_BUILTIN_TYPES = {
    kind.__name__: kind
    for kind in (bool, int, float, complex, str, bytes, list, tuple, dict, set, frozenset, object)
}

READERS: dict[str, Callable[[Decoder, list[Any]], Any]] = {
    "@": lambda d, c: d.numbered[c[0]],
    "s": lambda _d, c: base64.b64decode(c[0]).decode("utf-8", "surrogatepass"),
    "i": lambda _d, c: int(c[0], 16),
    "f": lambda _d, c: float(c[0]),
    "c": lambda d, c: complex(d.decode(c[0]), d.decode(c[1])),
    "b": lambda _d, c: base64.b64decode(c[0]),
    "ba": lambda d, c: d.number(bytearray(base64.b64decode(c[0]))),
    "t": lambda d, c: tuple(d.items(c)),
    "fs": lambda d, c: frozenset(d.items(c)),
    "range": lambda d, c: range(*d.items(c)),
    "l": _filled(list, "extend"),
    "set": _filled(set, "update"),
    "dq": _deque,
    "d": _mapping(dict),
    "od": _mapping(collections.OrderedDict),
    "count": _mapping(collections.Counter),
    "keys": lambda d, c: dict.fromkeys(d.items(c)).keys(),
    "values": lambda d, c: dict(enumerate(d.items(c))).values(),
    "pairs": lambda d, c: dict(d.items(c)).items(),
    "dec": lambda _d, c: decimal.Decimal(c[0]),
    "frac": lambda d, c: fractions.Fraction(d.decode(c[0]), d.decode(c[1])),
    "datetime": lambda _d, c: datetime.datetime.fromisoformat(c[0]),
    "date": lambda _d, c: datetime.date.fromisoformat(c[0]),
    "time": lambda _d, c: datetime.time.fromisoformat(c[0]),
    "delta": lambda _d, c: datetime.timedelta(*c),
    "np": _array,
    "type": lambda _d, c: _BUILTIN_TYPES[c[0]],
    "iter": lambda d, c: iter(d.items(c[0])),
    "it": lambda d, c: d.find(Handle(int(c[0]), "iterator")),
    "h": lambda d, c: d.find(Handle(int(c[0]), str(c[1]))),
}


def dumps(value: Any, keep: Keep) -> str:
    """Write a value as one line of ASCII."""
    return json.dumps(Encoder(keep).encode(value))


def loads(text: str, find: Find) -> Any:
    """Read a value back."""
    return Decoder(find).decode(json.loads(text))
