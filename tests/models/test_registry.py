"""Which models there are, and how settings become clients."""

import subprocess
import sys

import pytest
from pydantic import ValidationError

from codeact.episode.effects import Completion
from codeact.episode.settings import Settings
from codeact.exceptions import ConfigError
from codeact.models import registry as factory
from codeact.models.base import EpisodeKey, Request
from codeact.models.registry import AnyModelSettings, create_client, parse_settings
from codeact.models.scripted import ScriptedModel


class Root(Settings):
    """A schema with a model in it, as the run's."""

    model: AnyModelSettings


def ask(turn: int) -> Request:
    return Request(messages=(), stop=(), episode=EpisodeKey("t", "1"), turn=turn)


async def test_scripted_texts_go_by_turn_and_the_last_one_stays():
    model = create_client(parse_settings({"kind": "scripted", "texts": ["a", "b"]}))
    assert [(await model.complete(ask(turn))).text for turn in range(3)] == ["a", "b", "b"]


async def test_a_scripted_function_sees_the_request():
    model = ScriptedModel(lambda request: Completion(f"turn {request.turn}"))
    assert (await model.complete(ask(4))).text == "turn 4"


@pytest.mark.parametrize("kind", ["anthropic", "openai", "recorded", "scripted"])
def test_our_kinds_are_listed(kind):
    assert kind in factory.model_kinds()


def test_a_misspelt_kind_names_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'recorded'"):
        parse_settings({"kind": "recordd"})


def test_a_model_without_a_kind_is_refused():
    with pytest.raises(ConfigError, match="a model needs a kind, one of: anthropic, azure, openai"):
        parse_settings({"name": "m"})


def test_a_schema_names_the_key_that_is_wrong():
    with pytest.raises(ValidationError) as caught:
        Root.model_validate({"model": {"kind": "scripted", "texts": ["a"], "latncy": 1.0}})
    assert caught.value.errors()[0]["loc"] == ("model", "latncy")


def test_a_schema_keeps_all_settings_when_it_is_written():
    value = {"kind": "scripted", "name": "s", "prices": None, "texts": ["a"], "latency": 0.5}
    assert Root.model_validate({"model": value}).model_dump() == {"model": value}


def test_settings_are_checked_without_importing_a_network_library():
    program = (
        "import sys; from codeact.models.registry import parse_settings;"
        "parse_settings(dict(kind='openai', name='m', base_url='http://h/v1'));"
        "print([m for m in ('aiohttp', 'openai') if m in sys.modules])"
    )
    found = subprocess.check_output([sys.executable, "-c", program], text=True)
    assert found.strip() == "[]"
