"""``codeact fork RUN turn=N samples=K``: continue recorded episodes from a turn, K times each.

RUN is a run folder. The fork has its configuration, except for what the command line says:
another model, other turns. The first N turns of each episode are restored: their cells run again,
and an episode in which they show something else ends there, with a cause. RUN may be published
recordings too, which have no configuration: then give task, data, model and turns as for ``run``.
``-m turn=0,1,2`` shows what each turn is worth.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from codeact.commands.arguments import Arguments, configurations, parse
from codeact.commands.help import tell_if_asked
from codeact.exceptions import ConfigError
from codeact.experiment.config.compose import as_group, is_within
from codeact.experiment.config.schema import RunConfig
from codeact.recordings.run_folder import CONFIG
from codeact.resources import data_folder

_OWN = {"continue", "turn", "samples", "run_dir", "dry_run", "step", "budget", "shuffle"}
"""Keys of a run that its forks do not take over."""
_SOURCE = "continue="


def main(words: list[str]) -> int:
    """Run the command; returns 0 when every episode has an outcome of the policy's own."""
    arguments = parse("fork", words, positional="continue", sweeps=True)
    if tell_if_asked("fork", __doc__ or "", arguments, RunConfig):
        return 0
    composed = _composed(arguments)
    _warn_of_equal_samples([config for _, config in composed])
    from codeact.commands.run.playing import play_all

    return play_all(composed, sweep=arguments.multirun)


def _composed(arguments: Arguments) -> list[tuple[tuple[str, ...], RunConfig]]:
    source = next((w for w in reversed(arguments.overrides) if w.startswith(_SOURCE)), None)
    if source is None:
        raise ConfigError("nothing is named to be forked; give a run folder: codeact fork RUN")
    file = Path(source.removeprefix(_SOURCE).strip("'\"")) / CONFIG
    if not file.is_file():
        return configurations("fork", arguments, RunConfig)
    with TemporaryDirectory() as folder:
        base = Path(folder)
        (base / "fork.yaml").write_text(_based_on(file, arguments.overrides), encoding="utf-8")
        try:
            return configurations("fork", arguments, RunConfig, base)
        except ConfigError as error:
            raise ConfigError(str(error).replace(str(base / "fork.yaml"), str(file))) from error


def _based_on(file: Path, overrides: Sequence[str]) -> str:
    """Return a configuration like that of a run, in which the groups that are named are open."""
    from omegaconf import OmegaConf

    conf = data_folder("conf")
    ours = {**_tree(conf / "run.yaml"), **_tree(conf / "fork.yaml")}
    groups = {
        key: option
        for one in _tree(conf / "run.yaml")["defaults"]
        if isinstance(one, dict)
        for key, option in one.items()
    }
    named = {word.lstrip("+~").partition("=")[0] for word in map(as_group, overrides)}
    within = [key for key in groups if key in named and is_within(key)]
    whole = [key for key in groups if not is_within(key)]
    chosen = [key for key in whole if key in named or ("feedback" in named and "@" in key)]
    tree = {**ours, **{key: one for key, one in _tree(file).items() if key not in _OWN}}
    _open_paths(tree)
    for key in chosen:
        *above, last = (key.partition("@")[2] or key).split(".")
        node = tree
        for name in above:
            node = node.get(name) or {}
        node.pop(last, None)
    if isinstance(executor := tree.get("executor"), dict):
        executor["slots"] = None  # as many as the episodes that are played at once need
    # A dialect, say, changes some keys of a model, be it the run's own.
    last = [{key: groups[key]} for key in within]
    tree["defaults"] = [*({key: groups[key]} for key in chosen), "_self_", *last]
    return OmegaConf.to_yaml(OmegaConf.create(tree))


def _open_paths(tree: dict[str, Any]) -> None:
    """Have task files lie in the folder of ``data`` again, which may be given anew."""
    sets = tree["task"].get("sets") if isinstance(tree.get("task"), dict) else None
    for one in sets.values() if isinstance(sets, dict) else ():
        path = Path(str(one.get("path"))) if isinstance(one, dict) else Path()
        if path.parent == Path(str(tree.get("data"))):
            one["path"] = f"${{data}}/{path.name}"


def _tree(file: Path) -> dict[str, Any]:
    from omegaconf import OmegaConf

    try:
        tree = OmegaConf.to_container(OmegaConf.load(file), resolve=False)
    except Exception as error:  # missing, or whatever it holds instead of YAML
        raise ConfigError(f"{file}: cannot be read: {error}") from error
    if not isinstance(tree, dict):
        raise ConfigError(f"{file}: is no configuration of a run")
    return {str(key): value for key, value in tree.items()}


def _warn_of_equal_samples(configs: Sequence[RunConfig]) -> None:
    for config in configs:
        sampling = getattr(config.model, "sampling", None)
        if config.samples > 1 and getattr(sampling, "temperature", None) == 0:
            sys.stderr.write(
                f"model.sampling.temperature is 0: the {config.samples} continuations of an "
                "episode may be all alike; give model.sampling.temperature=1\n"
            )
            return
