"""The Python interface: plays, opens and compares runs; `codeact` itself has these names."""

import asyncio
import threading
import warnings
from os import PathLike

from codeact.commands.arguments import configurations, parse
from codeact.commands.run.playing import play_quietly
from codeact.exceptions import ConfigError, RunStopped
from codeact.experiment.config.schema import RunConfig
from codeact.results.opened import Run


def run(*words: str) -> Run:
    """Play a run as ``codeact run`` does with the same words, and return it.

    A run folder that exists is resumed. Works in a notebook, too, where an event loop runs already.
    Raises `CodeactError` where the command refuses, or where the run ends early, and warns where
    episodes are left to play.
    """
    config = _configuration(words)
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return _play_here(config)
    return _play_in_thread(config)


async def arun(*words: str) -> Run:
    """Play a run as `run` does, in the event loop that is running."""
    return await _played(_configuration(words))


def open(path: str | PathLike[str]) -> Run:  # noqa: A001
    """Open a run folder, a published file, or a tree of either.

    Raises `RecordingError` where there is none.
    """
    return Run(path)


def _configuration(words: tuple[str, ...]) -> RunConfig:
    arguments = parse("run", list(words), sweeps=True)
    if arguments.multirun or arguments.help or arguments.cfg or arguments.info:
        raise ConfigError("codeact.run plays one run: give it KEY=VALUE words alone")
    ((_, config),) = configurations("run", arguments, RunConfig)
    if config.dry_run:
        raise ConfigError("codeact.run plays the run: leave dry_run=true to the command")
    return config


async def _played(config: RunConfig) -> Run:
    results = await play_quietly(config)
    stopped = results.stopped
    for error in results.errors.values():
        raise error
    if stopped.hopeless:
        raise RunStopped("\n".join(stopped.hopeless))
    if stopped.left:
        warnings.warn(
            f"{config.run_dir}: episodes that are left: {stopped.left:,}; the same words play them",
            stacklevel=2,
        )
    return Run(config.run_dir)


def _play_here(config: RunConfig) -> Run:
    import uvloop

    return uvloop.run(_played(config))


def _play_in_thread(config: RunConfig) -> Run:
    """Play in a thread with a loop of its own; Ctrl-C cancels what is in flight."""
    found: list[Run | BaseException] = []
    loop, task = asyncio.new_event_loop(), list[asyncio.Task[Run]]()

    async def play() -> Run:
        task.append(asyncio.ensure_future(_played(config)))
        return await task[0]

    def main() -> None:
        try:
            found.append(loop.run_until_complete(play()))
        except BaseException as error:
            found.append(error)
        finally:
            loop.close()

    thread = threading.Thread(target=main, name="codeact.run")
    thread.start()
    try:
        thread.join()
    except KeyboardInterrupt:
        if task:
            loop.call_soon_threadsafe(task[0].cancel)
        thread.join()
        raise
    (result,) = found
    if isinstance(result, BaseException):
        raise result
    return result
