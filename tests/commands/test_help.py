"""What ``--help``, ``--cfg`` and ``--info`` tell; nothing in them is without words."""

from pathlib import Path

import pytest

from codeact.commands import COMMANDS
from codeact.experiment.config.compose import Invocation, compose_config
from codeact.experiment.config.keys import keys_of, option_meaning
from codeact.experiment.config.schema import RunConfig
from tests.helpers.commands import codeact

CONF = Path(__file__).parents[2] / "conf"
OPTIONS = sorted(CONF.glob("*/**/*.yaml"))


@pytest.mark.parametrize(
    "option", OPTIONS, ids=lambda option: f"{option.parent.name}={option.stem}"
)
def test_every_option_says_what_it_is_for(option: Path) -> None:
    assert option_meaning(option).endswith((".", ":"))


@pytest.mark.parametrize("command", [name for name in COMMANDS if name != "completion"])
def test_every_key_of_every_command_has_a_meaning(command: str) -> None:
    done = codeact(command, "--help")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.partition("\nKeys:\n")[2].splitlines()
    keys = [place for place, line in enumerate(lines) if line.startswith("  ") and line[2] != " "]
    assert keys
    silent = [lines[place] for place in keys if not lines[place + 1].startswith("     ")]
    assert silent == []


@pytest.mark.parametrize(
    "overrides",
    [
        ("model=openai", "executor=docker", "compute=ray"),
        ("model=vllm", "search=wikipedia"),
        ("model=scripted", "search=none", "tracker=none"),
        ("feedback=textual", "model@feedback.model=openai", "search=recorded"),
    ],
)
def test_every_key_of_other_options_has_a_meaning(overrides: tuple[str, ...]) -> None:
    composed = compose_config(Invocation("run", overrides), resolve=False)
    assert [key.path for key in keys_of(RunConfig, composed.config) if not key.meaning] == []


def test_help_shows_groups_with_their_options_and_which_are_chosen() -> None:
    said = codeact("run", "--help", "turns=max3_p2").stdout
    assert "  * max3_p2" in said
    assert "    max5_p2" in said
    assert "  turns.max_steps=3  (whole number >= 1 <= 1000)" in said


def test_one_branch_of_the_keys() -> None:
    said = codeact("run", "--help", "model.sampling", "model=openai").stdout
    assert said.startswith("  model.sampling.temperature=0.0  (number >= 0, or null)\n")
    assert "model.base_url" not in said


def test_a_branch_of_an_option_that_is_not_chosen_is_found_and_named() -> None:
    said = codeact("run", "--help", "model.sampling").stdout
    assert said.startswith("with model=")
    assert "model.sampling.temperature" in said


def test_a_branch_that_is_not_there_is_refused_with_the_nearest() -> None:
    done = codeact("run", "--help", "executer")
    assert done.returncode == 1
    assert "did you mean 'executor'?" in done.stderr


def test_cfg_and_info_are_hydras_own() -> None:
    job = codeact("run", "--cfg", "job", "turns=max3_p2", "-p", "turns").stdout
    assert job.startswith("# @package turns\nmax_steps: 3\n")
    assert "runtime:" in codeact("run", "--cfg", "all").stdout
    assert "| turns/max3_p2" in codeact("run", "--info", "defaults", "turns=max3_p2").stdout
    assert "max7" in codeact("run", "--cfg", "job", "turns=max7_p9").stderr


def test_the_version_has_two_names() -> None:
    assert codeact("-V").stdout == codeact("--version").stdout != ""
