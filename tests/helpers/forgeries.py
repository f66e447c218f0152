"""Solutions that try to pass tests without solving anything: every task's names are forged alike.

`NAMES` are the names that the task's tests ask for. `forged` is bound to each of them in the end,
if the attack has not done that itself. `side` is the module that serves the solution.
"""

import textwrap

HEAD = """
import builtins, collections, gc, io, json, math, operator, os, signal, struct, sys, threading, time
side = next(m for n, m in list(sys.modules.items()) if n.endswith(".solution_side"))
class Yes:
    def _yes(self, *args, **kwargs): return True
    __eq__ = __lt__ = __gt__ = __le__ = __ge__ = __contains__ = __bool__ = __call__ = _yes
    __ne__ = lambda self, other: False
    __hash__ = lambda self: 1
    __len__ = lambda self: 3
    __int__ = __index__ = lambda self: 1
    __float__ = lambda self: 1.0
    __getitem__ = __getattr__ = lambda self, key: self
    __sub__ = __rsub__ = __add__ = __radd__ = __abs__ = __round__ = lambda self, *a: 0
    __iter__ = lambda self: iter([self])
yes = Yes()
def forged(*args, **kwargs): return yes
def everything():
    names = [n for n in dir(builtins) if not n.startswith("__")] + [
        "math", "np", "numpy", "check", "candidate", "METADATA", "sys", "random", "space",
        "__builtins__", "__name__", "List", "Counter", "poly", "helper", "AssertionError"]
    return names + NAMES
def kept(value): return side.keep(value)._handle_number
"""
FOOT = """
for name in NAMES:
    globals().setdefault(name, forged)
"""


def _returns(expression: str) -> str:
    return f"def forged(*args, **kwargs): return {expression}"


def _replies(expression: str) -> str:
    return f"side.serve = lambda request: {expression}"


def _describes(coded: str) -> str:
    return f"""
        real = json.dumps
        def dumps(value, *args, **kwargs):
            if isinstance(value, dict) and not value.keys() & {{"result", "raised"}}:
                coded = {coded}
                value = {{**value, **{{name: coded for name in everything()}}}}
            return real(value)
        json.dumps = dumps
    """


FORGERIES = {
    # -- what a session says of the names
    "describes functions over all names": _describes('["h", kept(forged), "object"]'),
    "describes classes over all names": _describes('["h", kept(Yes), "class"]'),
    "describes bool as everything": _describes('["type", "bool"]'),
    "describes object as everything": _describes('["type", "object"]'),
    "describes names that end loops": _describes('["h", 0, "iterator"]'),
    "describes nonsense": "json.dumps = lambda *a, **k: '[' * 900",
    "describes nothing": "json.dumps = lambda *a, **k: '{}'",
    "describes a boolean": "json.dumps = lambda *a, **k: 'true'",
    "describes by a patched load": """
        import types
        frame = sys._getframe()
        while frame:
            if frame.f_code.co_name == "load":
                frame.f_locals.update(names=everything(), seconds=9e9)
            frame.f_globals.update(load=lambda *a: "{}") if "load" in frame.f_globals else None
            frame = frame.f_back
    """,
    # -- values
    "equal to everything": _returns("yes"),
    "a class that is equal": "class forged(Yes): __init__ = lambda self, *a, **k: None",
    "a metaclass that is equal": """
        class Meta(type):
            __eq__ = lambda *a: True
            __hash__ = lambda *a: 1
            __call__ = lambda cls, *a, **k: cls
        class forged(metaclass=Meta): pass
    """,
    **{
        f"equal {base}": f"""
            class Equal({base}):
                __eq__ = lambda *a: True
                __ne__ = lambda *a: False
                __lt__ = __gt__ = __le__ = __ge__ = __contains__ = lambda *a: True
                __hash__ = lambda *a: 1
                __len__ = lambda *a: 3
                __iter__ = lambda self: iter([yes])
                __str__ = __repr__ = lambda *a: "True"
            def forged(*args, **kwargs): return Equal()
        """
        for base in (
            "int", "str", "list", "float", "dict", "tuple", "set", "complex", "bytes", "Exception",
            "collections.OrderedDict", "collections.Counter", "collections.deque", "frozenset",
        )
    },
    "claims another class": "class C(Yes): __class__ = int\ndef forged(*a, **k): return C()",
    "registered number": """
        import numbers
        numbers.Integral.register(Yes)
        numbers.Real.register(Yes)
    """,
    "mock": "from unittest.mock import MagicMock\nforged = MagicMock(return_value=yes)",
    "any": "from unittest.mock import ANY\ndef forged(*args, **kwargs): return ANY",
    "none": _returns("None"),
    "nan": _returns("math.nan"),
    "infinity": _returns("math.inf"),
    "minus infinity": _returns("-math.inf"),
    "not implemented": _returns("NotImplemented"),
    "huge number": _returns("1 << 10**6"),
    "deep list": "def forged(*a, **k):\n v = []\n for _ in range(50_000): v = [v]\n return v",
    "itself": "def forged(*a, **k):\n v = []\n v.append(v)\n return v",
    "long text": _returns("'x' * 10**7"),
    "surrogates": _returns("'\\ud800\\udfff' * 100"),
    "empty array": "import numpy\ndef forged(*a, **k): return numpy.zeros((0, 1))",
    "array of nan": "import numpy\ndef forged(*a, **k): return numpy.full(3, numpy.nan)",
    "array of objects": "import numpy\ndef forged(*a, **k): return numpy.array([yes], object)",
    "decimal nan": "import decimal\ndef forged(*a, **k): return decimal.Decimal('nan')",
    "no end": _returns("iter(int, 1)"),
    "empties its arguments": """
        def forged(*args, **kwargs):
            for value in args:
                if hasattr(value, "clear"): value.clear()
            return args[0] if args else None
    """,
    "fills its arguments": """
        def forged(*args, **kwargs):
            for value in args:
                if isinstance(value, list): value[:] = [yes] * len(value)
            return args[0] if args else None
    """,
    # -- replies
    "replies true": _replies('\'{"result": true}\''),
    "replies no JSON": _replies("'true'"),
    "replies a plain object": _replies('\'{"result": {"a": 1}}\''),
    "replies code": _replies('\'{"result": ["def", "AAAA", "f", null]}\''),
    "replies an unknown tag": _replies('\'{"result": ["assert", true]}\''),
    "replies nan": _replies('\'{"result": NaN}\''),
    "replies a foreign number": _replies('\'{"result": ["h", 1e99, "class"]}\''),
    "replies the same object": _replies('\'{"result": ["h", 0, "class"]}\''),
    "replies objects in arrays": _replies('\'{"result": ["np", "O", [1], true, "AAAAAAAA"]}\''),
    "replies records in arrays": _replies(
        '\'{"result": ["np", [["a", "O"]], [1], true, "AAAAAAAA"]}\''
    ),
    "replies other arguments": _replies(
        '\'{"result": true, "arguments": ["t", ["l", ["h", 0, "class"]], ["d"]]}\''
    ),
    "replies the end of a loop": _replies(
        '\'{"raised": ["StopIteration", "Exception"], "text": ""}\''
    ),
    "replies an exit": _replies('\'{"raised": ["SystemExit", "BaseException"], "text": "0"}\''),
    "replies a failed assertion": _replies('\'{"raised": ["AssertionError"], "text": ""}\''),
    "replies busy for ever": _replies('"busy"'),
    "replies too much": _replies('\'{"result": "\' + "x" * 7_000_000 + \'"}\''),
    "replies a number": _replies("1"),
    "replies an endless iterator": _replies('\'{"result": ["it", 0]}\''),
    "uncrossable": """
        class UncrossableError(Exception): pass
        def forged(*args, **kwargs): raise UncrossableError("UncrossableError: mine")
    """,
    "a failure of the grader": """
        class GraderFailure(Exception): pass
        side.serve = lambda request: exec("raise GraderFailure('UncrossableError: x')", globals())
    """,
    "surrogates in an error": "raise ValueError('\\ud800' * 100_000)",
    # -- exceptions and exits
    **{
        f"raises {name}": f"def forged(*args, **kwargs): raise {name}"
        for name in (
            "AssertionError", "StopIteration", "GeneratorExit", "KeyboardInterrupt",
            "SystemExit(0)", "BaseException", "TimeoutError", "MemoryError",
        )
    },
    "exit": "sys.exit(0)",
    "exit of the process": "os._exit(0)",
    "exit of the process in a call": "def forged(*args, **kwargs): os._exit(0)",
    "another program": "os.execv('/bin/true', ['true'])",
    "an exit handler": """
        import atexit
        atexit.register(lambda: os.write(1, b"passed"))
        def forged(*args, **kwargs): sys.exit(0)
    """,
    # -- the interpreter
    "printed markers": """
        print("RESULT = True", "OK", "passed", "ok", sep="\\n")
        os.write(1, b"RESULT = True\\nOK\\npassed\\n")
        RESULT = passed = ok = True
    """,
    "patched builtins": """
        for name in ("abs", "all", "any", "len", "sorted", "round", "isinstance", "set", "type"):
            setattr(builtins, name, lambda *a, **k: True)
        builtins.AssertionError = Exception
    """,
    "patched compiler": """
        real = builtins.compile
        def passing(source, *args, **kwargs):
            source = "True" if isinstance(source, str) else source
            return real(source, *args, **kwargs)
        builtins.compile, builtins.exec = passing, lambda *a, **k: None
    """,
    "patched syntax trees": """
        import ast
        ast.Assert = ast.Pass
        real = ast.parse
        ast.parse = lambda *a, **k: real("pass")
    """,
    "patched modules": """
        for module in list(sys.modules.values()):
            for name in ("serve", "load", "run_tests", "run", "ask", "dumps", "encode", "loads"):
                if hasattr(module, name):
                    try: setattr(module, name, lambda *a, **k: '{"result": true}')
                    except Exception: pass
    """,
    "replaced modules": """
        for name in ("math", "json", "numpy", "random", "copy", "itertools", "collections"):
            sys.modules[name] = yes
    """,
    "import hook": """
        class Hook:
            def find_spec(self, *args): return None
            find_module = lambda self, *a: self
            load_module = lambda self, name: sys.modules.setdefault(name, yes)
        sys.meta_path.insert(0, Hook())
    """,
    "trace": """
        def spoil(frame, event, arg):
            frame.f_locals.update(RESULT=True, ok=True)
            return spoil
        sys.settrace(spoil); sys.setprofile(spoil); threading.settrace(spoil)
    """,
    "signals": """
        for number in (signal.SIGALRM, signal.SIGPROF, signal.SIGXCPU, signal.SIGTERM):
            signal.signal(number, lambda *a: os._exit(0))
        def forged(*args, **kwargs): signal.raise_signal(signal.SIGALRM)
    """,
    "frames": """
        def forged(*args, **kwargs):
            frame = sys._getframe()
            while frame:
                for space in (frame.f_locals, frame.f_globals):
                    space.update(RESULT=True, ok=True, passed=True)
                    for value in list(space.values()):
                        if type(value) is dict: value.update(ok=True, value=True, RESULT=True)
                frame = frame.f_back
            return True if False else None
    """,
    "searches": """
        def forged(*args, **kwargs):
            places = [repr(v)[:5000] for v in gc.get_objects() if type(v) in (dict, list, tuple)]
            for path in ("/proc/self/cmdline", "/proc/1/cmdline", "/proc/self/environ"):
                try: places.append(open(path, errors="replace").read())
                except OSError: pass
            for text in places:
                for name in NAMES:
                    _, found, rest = text.partition(f"assert {name}(")
                    if found: return eval(rest.partition("==")[2].partition("\\\\n")[0])
    """,
    "threads": """
        def spoil():
            while True:
                side.serve = lambda request: '{"result": true}'
                time.sleep(0.001)
        for _ in range(4): threading.Thread(target=spoil, daemon=True).start()
    """,
    # -- processes and descriptors
    "kills its parent": "os.kill(os.getppid(), signal.SIGKILL)",
    "kills everything": "def forged(*args, **kwargs): os.kill(-1, signal.SIGKILL)",
    "two that answer": "os.fork()",
    "the child answers": "if os.fork(): os._exit(0)",
    "frames on every descriptor": """
        def forged(*args, **kwargs):
            answers = [{"call": "relay", "id": 1, "args": ["{}"], "kwargs": {}}]
            for number in range(12):
                for value in (True, '{"result": true}', "{}"):
                    answers.append({"id": number, "ok": True, "value": value, "error": "",
                                    "status": "ok"})
                answers.append({"reply": number, "result": '{"result": true}'})
            data = b""
            for answer in answers:
                text = json.dumps(answer).encode()
                data += struct.pack(">I", len(text)) + text
            for fd in sorted(map(int, os.listdir("/proc/self/fd"))):
                if fd > 2:
                    try: os.write(fd, data)
                    except OSError: pass
    """,
    "half a frame": """
        def forged(*args, **kwargs):
            for fd in map(int, os.listdir("/proc/self/fd")):
                if fd > 2:
                    try: os.write(fd, b"\\\\0\\\\0\\\\1\\\\0{")
                    except OSError: pass
            os._exit(0)
    """,
    "closed descriptors": "def forged(*args, **kwargs): os.closerange(0, 1 << 16)",
    "never ends": "def forged(*args, **kwargs):\n while True: pass",
    "never ends, whatever is raised": """
        def forged(*args, **kwargs):
            while True:
                try:
                    while True: pass
                except BaseException: pass
    """,
    "sleeps": "def forged(*args, **kwargs): time.sleep(1000)",
}  # fmt: skip


def solution(name: str, names: list[str]) -> str:
    """Return the source of an attack on the names that a task's tests ask for."""
    return f"NAMES = {names!r}\n{HEAD}{textwrap.dedent(FORGERIES[name])}\n{FOOT}"
