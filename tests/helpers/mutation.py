"""Mutants: copies of a module's source with one change each, made by cosmic-ray's operators."""

import ast
import difflib
import random
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

Span = tuple[int, int, int, int]


class Mutant(NamedTuple):
    """One change of one module."""

    number: int
    module: str
    before: str
    after: str

    def diff(self) -> str:
        name = f"codeact/{self.module}"
        before, after = self.before.splitlines(), self.after.splitlines()
        return "\n".join(difflib.unified_diff(before, after, name, name, lineterm="", n=2))


def excluded(source: str) -> list[Span]:
    """Return the places where a change alters no behaviour that a test should hold.

    These are annotations and type aliases, what an exception says, assertions for the type checker,
    `__slots__` and `__all__`, and the options of classes that only make them faster or stricter.
    """
    nodes = ast.walk(ast.parse(source))
    return [_span(part) for node in nodes for part in _excluded_parts(node) if part is not None]


def _excluded_parts(node: ast.AST) -> Iterator[ast.AST | None]:
    match node:
        case ast.AnnAssign() | ast.arg():
            yield node.annotation
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            yield node.returns
            yield from (one for one in node.decorator_list if _name(one) in _HINTS)
        case ast.Raise():
            yield node.exc
        case ast.Assign() if _name(node.targets[0]) in {"__slots__", "__all__"}:
            yield node
        case ast.keyword() if node.arg in {"frozen", "slots", "gc", "kw_only"}:
            yield node
        case ast.Assert():
            yield node
        case ast.BinOp() if _is_union(node):
            yield node


_HINTS = {"abstractmethod", "cache", "final", "lru_cache", "overload", "override"}


def _name(node: ast.AST) -> str:
    if isinstance(node, ast.Call):
        return _name(node.func)
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def _is_union(node: ast.AST) -> bool:
    """Whether this is a union of types, as in an alias: with None, or of names of classes."""
    if not (isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr)):
        return False
    return all(
        (isinstance(one, ast.Constant) and one.value is None)
        or isinstance(one, ast.Subscript)
        or _name(one) in _TYPES
        or (_name(one)[:1].isupper() and not _name(one).isupper())
        or _is_union(one)
        for one in (node.left, node.right)
    )


_TYPES = {"bool", "bytes", "dict", "float", "int", "list", "object", "set", "str", "tuple"}


def _span(node: ast.AST) -> Span:
    place: Any = node
    return place.lineno, place.col_offset, place.end_lineno, place.end_col_offset


def is_excluded(place: tuple[int, int], spans: Sequence[Span]) -> bool:
    return any((one[0], one[1]) <= place < (one[2], one[3]) for one in spans)


EQUIVALENT = {"Is_Eq", "IsNot_NotEq", "Eq_Is", "NotEq_IsNot"}
"""Comparisons that are the same for None, for short strings and for small numbers."""


class Site(NamedTuple):
    """A place that one family of operators can change; `choices` are names and occurrences."""

    module: str
    place: tuple[int, int]
    choices: tuple[tuple[str, int], ...]


@cache
def _families() -> dict[str, list[str]]:
    """The names of cosmic-ray's operators by what they change, without those with arguments."""
    from cosmic_ray import plugins

    families: dict[str, list[str]] = defaultdict(list)
    for name in sorted(plugins.operator_names()):
        if not plugins.get_operator(name).arguments() and not name.endswith(tuple(EQUIVALENT)):
            replaces = name.count("_") == 2  # core/ReplaceBinaryOperator_Add_Sub
            families[name.rpartition("_")[0] if replaces else name].append(name)
    return families


def sites(module: str, source: str) -> list[Site]:
    """Return all places of a module that can be changed, in the order of its lines."""
    from cosmic_ray.ast import get_ast

    spans = excluded(source)
    tree = get_ast(source)
    found = []
    for names in _families().values():
        at: dict[tuple[int, int], list[int]] = defaultdict(list)
        for occurrence, place in enumerate(_places(tree, names[0])):
            at[place].append(occurrence)
        for place, occurrences in at.items():
            # cosmic-ray puts the place of a decorator at its @, before what `ast` says.
            line, column = place
            decorates = names[0].endswith("RemoveDecorator")
            if not is_excluded((line, column + decorates), spans):
                choices = tuple((name, one) for name in names for one in occurrences)
                found.append(Site(module, place, choices))
    return sorted(found)


def _places(node: Any, name: str) -> Iterator[tuple[int, int]]:
    """The places that an operator can change, in the order of cosmic-ray's own walk."""
    from cosmic_ray import plugins

    operator = plugins.get_operator(name)()
    waiting = [node]
    while waiting:
        one = waiting.pop()
        yield from (place[0] for place in operator.mutation_positions(one))
        waiting += reversed(getattr(one, "children", ()))


def sample(sources: Mapping[str, str], count: int, seed: int) -> list[Mutant]:
    """Draw places with equal chances over all modules, and one change at each."""
    every = [site for name, source in sources.items() for site in sites(name, source)]
    drawn = random.Random(seed)
    drawn.shuffle(every)
    mutants: list[Mutant] = []
    for site in every:
        if len(mutants) == count:
            break
        source = sources[site.module]
        if (changed := _changed(source, site, drawn)) is not None:
            mutants.append(Mutant(len(mutants) + 1, site.module, source, changed))
    print(f"{len(mutants)} of {len(every)} places in {len(sources)} modules, seed {seed}")
    return mutants


def _changed(source: str, site: Site, drawn: random.Random) -> str | None:
    """Return the source after one change; None where that is no program, or the same one."""
    from cosmic_ray import plugins
    from cosmic_ray.mutating import mutate_code

    name, occurrence = drawn.choice(site.choices)
    changed = mutate_code(source, plugins.get_operator(name)(), occurrence)
    try:
        same = changed is None or ast.dump(ast.parse(changed)) == ast.dump(ast.parse(source))
    except SyntaxError:
        return None
    return None if same else changed
