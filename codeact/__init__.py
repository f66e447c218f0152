"""codeact: experiments with agents that act by writing code.

    import codeact
    run = codeact.run("model=scripted", "task=sample")    # or: await codeact.arun(...)
    run = codeact.open("runs/x")
    run.summary, run.episodes(task="gsm8k", success=False), run.frame(), run.turns()
    codeact.compare("runs/a", "runs/b").table

Each of these names is imported when it is first used.
"""

from importlib import import_module
from typing import Any

from codeact.moved import install

__version__ = "0.1.0"
_HOMES = {
    "Between": "recordings.index",
    "CodeactError": "exceptions",
    "Run": "results.opened",
    "RunEpisode": "results.opened",
    "RunEpisodes": "results.opened",
    "arun": "python",
    "compare": "results.comparison.compare",
    "open": "python",
    "run": "python",
}
__all__ = [
    "Between",
    "CodeactError",
    "Run",
    "RunEpisode",
    "RunEpisodes",
    "arun",
    "compare",
    "open",
    "run",
]

install()


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that ``import codeact`` is quick."""
    if name not in _HOMES:
        raise AttributeError(f"module 'codeact' has no attribute {name!r}")
    found = getattr(import_module(f"codeact.{_HOMES[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return [*globals(), *__all__]
