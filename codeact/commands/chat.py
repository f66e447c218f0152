"""``codeact chat model=OPTION``: a person is the user.

You type a task, and the model acts on it with Python in the sandbox. After each turn you may
comment, and you say whether an answer that it proposes is right. An empty line ends the task.
Ctrl-D ends the episode. It is recorded like any run; input from a pipe works too.
"""

import asyncio
import json
import sys
import time
from pathlib import Path

from codeact.commands.arguments import configuration, parse
from codeact.commands.help import tell_if_asked
from codeact.exceptions import ConfigError, RunFolderError
from codeact.experiment.config.compose import to_yaml
from codeact.experiment.config.schema import RunConfig
from codeact.files import private_folder

_NAME = "typed"


def main(words: list[str]) -> int:
    """Run the command; returns 0 when the episode ended, or the person left."""
    arguments = parse("chat", words)
    if tell_if_asked("chat", __doc__ or "", arguments, RunConfig):
        return 0
    config = configuration("chat", arguments, RunConfig)
    if config.dry_run:
        sys.stdout.write(to_yaml(config.model_dump()))
        return 0
    from codeact.commands.run.playing import play_run
    from codeact.experiment.attending import judged_by_person
    from codeact.experiment.plan import make_plan
    from codeact.models.person.terminal import terminal

    prompt = asyncio.run(terminal().ask_text("task (an empty line ends it)> "))
    if prompt is None:
        raise ConfigError("no task was typed, so there is nothing to do")
    plan = make_plan(_with_task(config, prompt))
    return play_run(judged_by_person(plan))


def _with_task(config: RunConfig, prompt: str) -> RunConfig:
    """Add the task to the run folder's task file, and return the configuration of that one task."""
    (file,) = (Path(chosen.path) for chosen in config.task.sets.values())
    identifier = time.strftime("%Y-%m-%d_%H-%M-%S")
    line = json.dumps({"id": identifier, "prompt": prompt, "reference": None}, ensure_ascii=False)
    try:
        private_folder(file.parent)
        with file.open("a", encoding="utf-8") as stream:
            stream.write(f"{line}\n")
    except OSError as error:
        raise RunFolderError(
            f"{file.parent}: cannot be written ({error.strerror}); choose another run_dir"
        ) from error
    chosen = config.task.sets[_NAME].model_copy(update={"ids": [identifier]})
    task = config.task.model_copy(update={"sets": {_NAME: chosen}})
    return config.model_copy(update={"task": task})
