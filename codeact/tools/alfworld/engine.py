"""Households by textworld; loaded by `server.py` alone, which needs ``codeact[alfworld]``.

A few shortcuts make loading three times quicker and a command ten times, and no other words come
out; a test compares. Loading a game translates its PDDL four times: for the game and for a planner,
which nobody asks here, and all of that again at the reset. Here it is done once. A command parses
the same texts of the grammar again and again, and copies what nothing changes.
"""

import base64
import copy
import functools
import json
import zlib
from typing import Any

import fast_downward
import textworld
from alfworld.agents.environment.alfred_tw_env import (
    AlfredDemangler,
)
from textworld.envs.pddl import PddlEnv, textgen
from textworld.logic import Rule

_LARGEST = 1 << 24
"""Bytes of an unpacked game; those of ALFWorld have some 100,000."""
_WELCOME = "-= Welcome to TextWorld, ALFRED! =-\n\n"
_ARRIVAL = "You arrive at loc "


@functools.lru_cache(maxsize=1)
def _translated(domain: str, problem: str) -> Any:
    return _TRANSLATE(domain, problem)


@functools.lru_cache(maxsize=10_000)
def _parsed(text: str, rule_name: str) -> Any:
    return _PARSE(text, rule_name=rule_name)


def _shallow(context: dict[str, Any]) -> dict[str, Any]:
    """Copy the two parts of a context that are added to; the things in them do not change."""
    added_to = ("variables", "mapping")
    return {**context, **{name: dict(context[name]) for name in added_to}}


_TRANSLATE = fast_downward.pddl2sas
_PARSE = textgen._parse_and_convert
fast_downward.pddl2sas = lambda domain, problem, **_: _translated(domain, problem)
textgen._parse_and_convert = lambda text, rule_name, **_: copy.deepcopy(_parsed(text, rule_name))
textgen.copy_context = _shallow
Rule.parse_conjunctive_query = staticmethod(
    functools.lru_cache(maxsize=10_000)(Rule.parse_conjunctive_query)
)

# Its library is copied to a temporary file to be loaded: once here, for all forked processes.
_LIBRARY = fast_downward.load_lib()
fast_downward.load_lib = lambda: _LIBRARY


class Household:
    """One game."""

    def __init__(self) -> None:
        self._env = AlfredDemangler(PddlEnv(textworld.EnvInfos(won=True)))

    def load(self, packed: str) -> str:
        """Begin a game; returns its first words. `packed` is its file, by zlib and base64."""
        unpacker = zlib.decompressobj()
        content = unpacker.decompress(base64.b64decode(packed, validate=True), _LARGEST)
        if not unpacker.eof:
            raise ValueError("the game is cut off or too large")
        self._env.load(json.loads(content))
        return str(self._env.reset().feedback).removeprefix(_WELCOME).replace("\n\n", "\n")

    def command(self, text: str) -> tuple[str, bool]:
        """Do something; returns what happens, and whether the task is solved now."""
        state, _, _ = self._env.step(text)
        said = str(state.feedback)
        if said.startswith(_ARRIVAL):
            # Where in the room that is, by a number, is nothing that a policy can use.
            said = said[said.find(". ") + 2 :]
        return said, bool(state.won)
