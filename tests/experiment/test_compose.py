"""Configuration: every option composes, and what is wrong is refused by name."""

import itertools
from pathlib import Path

import pytest
import yaml

from codeact.commands.arguments import configurations, parse
from codeact.exceptions import ConfigError
from codeact.experiment.config.compose import Invocation, compose_config, expand_sweep
from codeact.experiment.config.schema import RegradeConfig, ReplayConfig, RunConfig, ValidateConfig
from codeact.experiment.config.validation import validated
from codeact.models.openai.settings import OpenAISettings
from codeact.models.vllm.settings import VllmSettings
from codeact.resources import data_folder

HOSTED = {
    "anthropic_compatible": ("https://api.anthropic.com/v1", "ANTHROPIC_API_KEY"),
    "deepseek": ("https://api.deepseek.com/v1", "DEEPSEEK_API_KEY"),
    "gemini": ("https://generativelanguage.googleapis.com/v1beta/openai", "GEMINI_API_KEY"),
    "openai": ("https://api.openai.com/v1", "OPENAI_API_KEY"),
    "openrouter": ("https://openrouter.ai/api/v1", "OPENROUTER_API_KEY"),
    "together": ("https://api.together.xyz/v1", "TOGETHER_API_KEY"),
}
GIVEN = {
    **{("model", name): ["model.name=m"] for name in ("openai", "server", "anthropic", *HOSTED)},
    ("model", "azure"): ["model.name=m", "model.base_url=https://r.openai.azure.com"],
    ("model", "vllm"): ["model.model=m", "model.name=m"],
    ("prompt", "recorded"): ["prompt.source=f"],
    ("search", "pages"): ["search.path=f"],
    ("search", "recorded"): ["search.path=f"],
    **{
        ("feedback", f"{kind}{truth}"): ["model@feedback.model=scripted"]
        for kind in ("textual", "binary", "textual_sparse")
        for truth in ("", "_gt")
    },
}
OF_OTHER_COMMANDS = {"recipe", "selection", "study", "tags"}
"""Groups that ``run`` does not have; their commands' tests compose them."""
OPTIONS = [
    (folder.name, option.stem)
    for folder in sorted(data_folder("conf").iterdir())
    if folder.is_dir() and folder.name not in OF_OTHER_COMMANDS
    for option in sorted(folder.glob("*.yaml"))
]


def run_config(*overrides: str) -> RunConfig:
    return validated(RunConfig, compose_config(Invocation("run", overrides)))


@pytest.mark.parametrize(("group", "option"), OPTIONS)
def test_every_option_composes_and_names_every_key_of_its_schema(group: str, option: str) -> None:
    """A key that is not in the YAML could only be set with a plus sign: nobody would find it."""
    if (group, option) == ("model", "none"):
        pytest.skip("none is for feedback; the next test refuses it as a policy")
    overrides = (f"{group}={option}", *GIVEN.get((group, option), []))
    composed = compose_config(Invocation("run", overrides))
    config = validated(RunConfig, composed)
    keys = set(getattr(config, group).model_dump())
    if group == "task" and option != "toolbench":
        keys.remove("seed")  # only toolbench's tasks are made by one
    assert set(composed.config[group]) >= keys


@pytest.mark.parametrize("option", HOSTED)
def test_a_hosted_model_needs_its_name_alone(option: str) -> None:
    """The option has address and key, and samples as the published runs did."""
    check_hosted(run_config(f"model={option}", "model.name=m").model, option)


def test_a_hosted_model_can_give_feedback() -> None:
    words = ("model@feedback.model=gemini", "feedback.model.name=m")
    config = run_config("model=scripted", "feedback=textual", *words)
    check_hosted(config.feedback.model, "gemini")


def check_hosted(model: object, option: str) -> None:
    assert isinstance(model, OpenAISettings)
    assert (model.base_url, model.api_key_env) == HOSTED[option]
    assert (model.sampling.temperature, model.sampling.max_tokens) == (0.0, 1024)
    assert (model.sampling.seed == "none") is (option == "gemini")


def test_an_open_weights_model_needs_nothing_more() -> None:
    config = run_config("model=qwen3")
    assert isinstance(config.model, VllmSettings)
    assert (config.model.model, config.model.name) == ("Qwen/Qwen3-8B", "Qwen3-8B")
    assert (config.model.sampling.temperature, config.model.sampling.max_tokens) == (0.0, 1024)


DIALECTS = [path.stem for path in data_folder("conf").glob("model/dialect/*.yaml")]


@pytest.mark.parametrize("name", DIALECTS)
def test_a_dialect_fills_keys_of_an_endpoint_and_its_facts_have_sources(name) -> None:
    model = "vllm" if name in {"gpt_oss", "qwen3"} else "openai"
    chosen = run_config(f"model={model}", *GIVEN["model", model], f"model.dialect={name}").model
    assert isinstance(chosen, OpenAISettings | VllmSettings)
    own = (chosen.reasoning.history, chosen.sampling.temperature, chosen.stop_limit)
    assert (own == ("drop", 0.0, 4)) is (name == "none")
    text = (data_folder("conf") / "model" / "dialect" / f"{name}.yaml").read_text()
    assert name == "none" or "https://" in text


def test_a_dialect_wins_over_the_model_s_file_and_the_command_line_over_both() -> None:
    words = ("model=deepseek", "model.name=m")
    assert run_config(*words).model.stop_limit == 16
    model = run_config(*words, "model.dialect=o_series", "model.sampling.temperature=1").model
    assert (model.stop_limit, model.length_key) == (0, "max_completion_tokens")
    assert model.sampling.temperature == 1
    assert model.sampling.max_tokens == 1024


def test_feedback_has_a_dialect_of_its_own_and_a_sweep_takes_several() -> None:
    words = ("model=scripted", "feedback=textual", "model@feedback.model=openai")
    given = ("feedback.model.name=m", "feedback.model.dialect=kimi")
    model = run_config(*words, *given).feedback.model
    assert isinstance(model, OpenAISettings)
    assert (model.reasoning.history, model.sampling.temperature) == ("keep", None)
    jobs = expand_sweep(["model=openai", "model.name=m", "model.dialect=kimi,o_series"])
    assert [run_config(*job).model.reasoning.history for job in jobs] == ["keep", "drop"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["model=openai", "model.name=m", "model.dialect=kimmi"], "did you mean 'kimi'?"),
        (["model=scripted", "model.dialect=kimi"], "model.reasoning: unknown key"),
        (["model=vllm", *GIVEN["model", "vllm"], "model.dialect=o_series"], "model.length_key"),
        (["model=openai", "model.dialect=kimi"], "model.name is not set"),
    ],
)
def test_a_dialect_that_does_not_fit_is_refused(words, said) -> None:
    with pytest.raises(ConfigError, match=said.replace("?", r"\?")):
        run_config(*words)


PUBLISHED_SIZES = {
    "apps": 4439, "alfworld": 3553, "algebra": 1226, "counting_and_probability": 602,
    "geometry": 727, "intermediate_algebra": 1070, "number_theory": 691, "prealgebra": 750,
    "precalculus": 520, "hotpotqa": 3000, "strategyqa": 2290, "wiki_table_questions": 3000,
}  # fmt: skip


def test_the_published_collection_is_twelve_sets_of_known_sizes() -> None:
    sets = run_config("task=codeact_instruct").task.sets
    assert {name: one.published for name, one in sets.items()} == PUBLISHED_SIZES
    assert {name: one.path for name, one in sets.items()} == {
        name: f"data/{name}.jsonl" for name in PUBLISHED_SIZES
    }
    assert not any(one.limit or one.ids for one in sets.values())


def test_the_recipe_of_the_published_collection_has_its_models_and_settings() -> None:
    recipe = compose_config(Invocation("collect", ("recipe=codeact_instruct", "out=x"))).config[
        "recipe"
    ]
    runs = [run_config(*recipe["common"], *words) for words in recipe["weak"].values()]
    strong = run_config(*recipe["common"], *recipe["strong"])
    assert [run.model.name for run in [*runs, strong]] == [
        "claude-2", "claude-instant-1", "gpt-3.5-turbo-0613", "gpt-3.5-turbo-16k-0613",
        "gpt-4-0613",
    ]  # fmt: skip
    for run in (*runs, strong):
        assert set(run.task.sets) == set(PUBLISHED_SIZES)
        assert (run.turns.name, run.feedback.label) == ("max5_p2+tool+cd", "none")
        assert (run.limit, run.samples, run.grading.mode) == (None, 1, "mint")
        assert isinstance(run.model, OpenAISettings)
        assert (run.model.api, run.model.sampling.temperature) == ("chat", 0.0)
        assert run.model.sampling.max_tokens == 1024
        assert run.model.prices is not None


def test_a_policy_is_needed() -> None:
    with pytest.raises(ConfigError, match="model"):
        run_config("model=none")


@pytest.mark.parametrize(
    ("command", "schema", "overrides"),
    [
        ("replay", ReplayConfig, ("source=x",)),
        ("regrade", RegradeConfig, ("source=x",)),
        ("validate", ValidateConfig, ()),
    ],
)
def test_every_command_composes(command: str, schema: type, overrides: tuple[str, ...]) -> None:
    config = validated(schema, compose_config(Invocation(command, overrides)))
    assert isinstance(config, schema)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["model=scriptd"], ["model", "scriptd", "did you mean 'scripted'"]),
        (["modle=scripted"], ["unknown key 'modle'", "did you mean 'model'"]),
        (["turns.max_step=3"], ["turns.max_step", "did you mean 'turns.max_steps'"]),
        (["turns.max_steps=five"], ["turns.max_steps", "integer", "'five'", "command line"]),
        (["turns.max_propose_solution=6"], ["more than max_steps=5", "max5_p2.yaml"]),
        (["feedback=textual"], ["needs a feedback model", "model@feedback.model="]),
        (["+executor.cel_seconds=3"], ["executor.cel_seconds", "did you mean 'cell_seconds'"]),
        (["model=openai"], ["model.name is not set", "openai.yaml"]),
        (
            ["model=openai", "model.name=m", "+model.sampling.temprature=1"],
            ["model.sampling.temprature", "did you mean 'temperature'"],
        ),
        (["zzz=1"], ["unknown key 'zzz'", "(valid: alfworld, budget, cache, compute,"]),
        (["turns.zzzzzzzzz=1"], ["(valid: turns.count_down, turns.max_propose_solution,"]),
        (["samples=0"], ["samples", "greater than or equal to 1"]),
        (["task=gsm9k"], ["gsm9k", "did you mean 'gsm8k'"]),
        (["compute.concurrency=-1"], ["\n  compute.concurrency: ", "command line"]),
        (["executor.memory_mb=-1"], ["\n  executor.memory_mb: ", "command line"]),
        (["compute=ray", "compute.handouts=0"], ["\n  compute.handouts: ", "command line"]),
        (["search=pages", "search.path=null"], ["\n  search.path: ", "command line"]),
        (["model=a,b"], ["gives model several values", "codeact run -m model=a,b"]),
        (["samples=1,2"], ["gives samples several values", "codeact run -m samples=1,2"]),
        (["turns=max7_p3"], ["turns.max_steps=7 turns.max_propose_solution=3"]),
        (["temperature=1"], ["'model.sampling.temperature' with model=anthropic, model=azure"]),
        (
            ["model=openai", "model.name=m", "temperature=1"],
            ["did you mean 'model.sampling.temperature'?"],
        ),
        (
            ["model=openai", "model.name=m", "+temperature=1"],
            ["did you mean 'model.sampling.temperature'?"],
        ),
        (
            ["model=openai", "model.name=m", "sampling.temprature=1"],
            ["did you mean 'model.sampling.temperature'?"],
        ),
        (["max_steps=3"], ["did you mean 'turns.max_steps'?"]),
        (
            ["task.sets={mine:{path:x,family:gsm8k}}"],
            ["unknown key 'task.sets.mine'", '"+task.sets.mine={path:FILE,family:NAME}"'],
        ),
        (["task.sets.mine.path=x"], ["unknown key 'task.sets.mine.path'"]),
        (["task.sets=[a]"], ["Cannot merge DictConfig with ListConfig"]),
        (["+task.sets.mine={path:x}"], ["task.sets.mine.family: missing", "+task.sets.mine."]),
        (["limits={max_second:3}"], ["unknown key 'limits.max_second'", "'limits.max_seconds'"]),
        (["a b(c)=,"], ["'a b(c)=,' cannot be read", "quote its value"]),
        (
            [
                *("feedback=textual", "model@feedback.model=openai", "feedback.model.name=m"),
                "feedback.model.base_url=http://k@h/v1",
            ],
            ["feedback.model.base_url: ", "name that in feedback.model.api_key_env"],
        ),
    ],
)
def test_a_refusal_names_the_key_and_the_nearest_valid_one(
    overrides: list[str], words: list[str]
) -> None:
    with pytest.raises(ConfigError) as refused:
        run_config(*overrides)
    for word in words:
        assert word in str(refused.value)


def test_a_key_misspelt_inside_a_users_yaml_is_refused_with_the_file(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    settings = {"kind": "scripted", "name": "mine", "txts": ["a"], "texts": ["b"], "latency": 0.0}
    (folder / "mine.yaml").write_text(yaml.safe_dump(settings))
    invocation = Invocation("run", ("model=mine",), config_dir=str(tmp_path))
    with pytest.raises(ConfigError) as refused:
        validated(RunConfig, compose_config(invocation))
    assert "model.txts: unknown key (did you mean 'texts'?)" in str(refused.value)
    assert str(folder / "mine.yaml") in str(refused.value)


def test_a_users_folder_adds_options_to_our_groups(tmp_path: Path) -> None:
    (tmp_path / "turns").mkdir()
    (tmp_path / "turns" / "long.yaml").write_text(
        "max_steps: 50\nmax_propose_solution: 3\nuse_tools: true\ncount_down: false\n"
    )
    invocation = Invocation("run", ("turns=long",), config_dir=str(tmp_path))
    assert "long" in [file.stem for file in compose_config(invocation).options["turns"]]
    assert validated(RunConfig, compose_config(invocation)).turns.name == "max50_p3+tool"


def test_a_users_own_run_starts_from_ours_and_is_named(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(
        "defaults:\n  - run\n  - override model: scripted\n  - _self_\nsamples: 7\n"
    )
    invocation = Invocation("run", (), config_dir=str(tmp_path), config_name="mine")
    config = validated(RunConfig, compose_config(invocation))
    assert (config.samples, config.model.name) == (7, "scripted")


def test_all_problems_are_listed_at_once() -> None:
    with pytest.raises(ConfigError) as refused:
        run_config("turns.max_steps=five", "samples=0", "model.latency=-1", "model=scripted")
    assert str(refused.value).count("\n") == 3


def test_a_sweep_is_the_product_in_hydras_order() -> None:
    jobs = expand_sweep(["turns=max1_p1,max2_p2", "samples=1,2", "seed=7"])
    assert jobs == [
        (f"turns={turns}", f"samples={samples}", "seed=7")
        for turns, samples in itertools.product(["max1_p1", "max2_p2"], ["1", "2"])
    ]


def test_values_with_an_equals_sign_need_no_quotes() -> None:
    words = ["/recorded", "filter=F=None/*", "out=null"]
    arguments = parse("replay", words, positional="source")
    ((_, config),) = configurations("replay", arguments, ReplayConfig)
    assert (config.source, config.filter) == ("/recorded", "F=None/*")


def test_incidental_settings_do_not_change_what_an_episode_is() -> None:
    plain = run_config("model=openai", "model.name=m")
    moved = run_config(
        "model=openai",
        "model.name=m",
        "model.base_url=http://127.0.0.1:1/v1",
        "model.max_retries=1",
        "model.transport=lean",
        "compute.concurrency=3",
        "executor=docker",
        "run_dir=elsewhere",
    )
    other = run_config("model=openai", "model.name=m", "model.sampling.temperature=1.0")
    assert plain.digest == moved.digest
    assert plain.digest != other.digest


def test_the_sandbox_has_room_for_the_episodes_at_once() -> None:
    """Three sessions an episode, on each worker; what is too few would be a deadlock."""
    policy = ("model=openai", "model.name=m", "compute.concurrency=100")
    assert run_config(*policy).executor.slots == 300
    assert run_config(*policy, "compute=ray", "compute.workers=4").executor.slots == 75
    assert run_config(*policy, "executor.slots=400").executor.slots == 400
    with pytest.raises(ConfigError, match=r"give executor\.slots=300"):
        run_config(*policy, "executor.slots=299")
    with pytest.raises(ConfigError, match=r"compute\.workers=N"):
        run_config(*policy, "compute.concurrency=1334")


def test_a_sweep_without_an_end_is_refused_with_a_remedy() -> None:
    with pytest.raises(ConfigError, match=r"interval\(0,1\).*no end of values.*seed=VALUE,VALUE"):
        expand_sweep(["seed=interval(0,1)"])
