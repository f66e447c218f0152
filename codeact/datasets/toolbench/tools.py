"""The tools of each domain: how they are described, and the code that opens them in a session."""

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

from codeact.datasets.family import Row
from codeact.datasets.toolbench.domains.base import Domain
from codeact.datasets.toolbench.making import MAKERS
from codeact.episode.task import ToolSpec
from codeact.tools.typed import spec_of

_SETUP = """\
def _open_tools():
    import json, sys, types

    for name, source in {sources!r}:
        module = sys.modules[name] = types.ModuleType(name)
        exec(compile(source, "<tools>", "exec"), module.__dict__)
    domain = getattr(module, {domain!r})(json.loads({data!r}))
    for name, _ in {sources!r}:
        del sys.modules[name]
    return {{name: getattr(domain, name) for name in {tools!r}}}

globals().update(_open_tools())
del _open_tools
"""
"""What a session runs. The modules have their own names while they are loaded, and leave none."""


@cache
def tools_of(domain: str) -> Mapping[str, ToolSpec]:
    """Describe a domain's tools: the public methods of its class, in the order of writing."""
    tools = MAKERS[domain].domain
    names = [name for name in vars(tools) if not name.startswith("_")]
    empty = object.__new__(tools)
    return {name: spec_of(getattr(empty, name)) for name in names}


@cache
def all_tools() -> Mapping[str, ToolSpec]:
    """Describe the tools of all domains, each of which has a name of its own."""
    return {name: spec for domain in MAKERS for name, spec in tools_of(domain).items()}


def names_of(row: Row) -> tuple[str, ...]:
    """Name the tools of a row's domain."""
    return tuple(tools_of(row["domain"]))


def opening_code(row: Row) -> str:
    """Write the code that defines a domain's tools in a session, over the row's own data."""
    domain = MAKERS[row["domain"]].domain
    return _SETUP.format(
        sources=_sources(domain.__module__),
        domain=domain.__name__,
        data=json.dumps(row["data"], ensure_ascii=False, separators=(",", ":")),
        tools=names_of(row),
    )


@cache
def _sources(module: str) -> tuple[tuple[str, str], ...]:
    """The text of the modules that a domain's module needs, itself the last, by their names."""
    folder = files("codeact.datasets.toolbench.domains")
    return tuple(
        (name, folder.joinpath(f"{name.rpartition('.')[2]}.py").read_text("utf-8"))
        for name in (Domain.__module__, module)
    )
