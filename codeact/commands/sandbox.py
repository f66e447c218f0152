"""``codeact sandbox build|check|exec|sweep``: the sandbox by itself.

build          builds the image of executor=docker (keys image.name, image.base_image,
               image.packages, image.wheels)
check          tries every promise of the executor on this machine and prints a table
exec CELLS     runs cells of a JSONL file of {"session": "a", "code": "1 + 1"}, sessions side by
               side, the cells of one session in order, and prints a JSON line for each
sweep          removes what dead owners left: containers, folders
"""

import sys
from pathlib import Path

import msgspec
import uvloop

from codeact.commands.arguments import configuration, parse
from codeact.commands.help import tell_if_asked
from codeact.exceptions import ConfigError
from codeact.experiment.config.schema import SandboxConfig
from codeact.experiment.resources import Resources
from codeact.results.tables import show_promises, show_swept
from codeact.sandboxes.cells import Cell, read_cells, run_cells
from codeact.sandboxes.check import check_sandbox
from codeact.sandboxes.cleanup import sweep
from codeact.sandboxes.docker.image import build_image
from codeact.sandboxes.settings import DockerSettings
from codeact.wording import nearest

ACTIONS = ("build", "check", "exec", "sweep")


def main(words: list[str]) -> int:
    """Run the command; returns 0 when all that was asked for succeeded."""
    if not words or words[0] in ("-h", "--help"):
        tell_if_asked("sandbox", __doc__ or "", parse("sandbox", ["--help"]), SandboxConfig)
        return 0 if words else 2
    action, rest = words[0], words[1:]
    if action not in ACTIONS:
        raise ConfigError(f"there is no {action!r} ({nearest(action, ACTIONS)})")
    arguments = parse("sandbox", rest, positional="cells" if action == "exec" else None)
    if tell_if_asked("sandbox", __doc__ or "", arguments, SandboxConfig):
        return 0
    config = configuration("sandbox", arguments, SandboxConfig)
    match action:
        case "build":
            return uvloop.run(_build(config))
        case "check":
            return show_promises(config.executor.kind, uvloop.run(check_sandbox(config.executor)))
        case "exec":
            return uvloop.run(_exec(config))
        case _:
            return show_swept(uvloop.run(sweep(_engine(config))))


def _engine(config: SandboxConfig) -> str | None:
    executor = config.executor
    return executor.engine if isinstance(executor, DockerSettings) else None


async def _build(config: SandboxConfig) -> int:
    def say(line: str) -> None:
        sys.stderr.write(line + "\n")

    image = await build_image(config.image, engine=_engine(config), say=say)
    sys.stdout.write(f"{image.name} {image.digest} {image.megabytes} MB\n")
    return 0


async def _exec(config: SandboxConfig) -> int:
    cells = _read(config.cells)
    async with Resources() as resources:
        sandbox = await resources.sandbox(config.executor)
        async for result in run_cells(sandbox, cells, at_once=config.concurrency):
            sys.stdout.write(msgspec.json.encode(result).decode() + "\n")
            sys.stdout.flush()
    return 0


def _read(path: str | None) -> list[Cell]:
    if path is None:
        raise ConfigError("say which cells to run: codeact sandbox exec CELLS.jsonl")
    return read_cells(Path(path))
