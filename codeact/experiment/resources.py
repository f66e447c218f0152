"""What runs share: model clients and sandboxes, opened once for equal settings."""

import logging
import re
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple, Self

from codeact.exceptions import ConfigError
from codeact.experiment.config.schema import PlaySettings, digest_of
from codeact.experiment.services import ServiceStats
from codeact.models.base import EpisodeKey, ModelClient, ModelSettings, Notice, Role
from codeact.models.cache import CachedModel, ResponseStore
from codeact.models.registry import create_client
from codeact.models.replicas import HasServers
from codeact.sandboxes.base import Sandbox
from codeact.sandboxes.sandbox import GuestSandbox
from codeact.sandboxes.settings import AnyExecutorSettings
from codeact.sandboxes.start import facts_of, start_sandbox
from codeact.tools import ToolBox
from codeact.wording import with_whole_keys

log = logging.getLogger(__name__)


class Cache(NamedTuple):
    """Where a model's completions are cached, and the settings that key them.

    The settings are those that the user gave. Those of a model that was started for a run
    (`ModelSettings.served`) no longer contain what decides its completions.
    """

    folder: str
    settings: ModelSettings


@contextmanager
def naming_keys(settings: ModelSettings, role: Role) -> Iterator[None]:
    """Have a `ConfigError` of a model name its settings as those of the `role` are called."""
    try:
        yield
    except ConfigError as error:
        group = "feedback.model" if role == "feedback" else "model"
        fields = type(settings).model_fields
        said = re.sub(r"(?<![\w.])model\.(?=[a-z_])", f"{group}.", str(error))
        raise type(error)(with_whole_keys(said, group, fields)) from error


class Resources:
    """Opens resources on first use and closes all of them at the end; equal settings share one."""

    def __init__(self, notice: Notice = log.info) -> None:
        self.notice = notice
        self._open: dict[str, Any] = {}
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._stack.aclose()

    def stats(self) -> ServiceStats:
        """Return how what is open does now."""
        opened = list(self._open.values())
        servers = [one.stats() for one in opened if isinstance(one, HasServers)]
        sandboxes = tuple(one.occupancy for one in opened if isinstance(one, GuestSandbox))
        return ServiceStats(tuple(chain.from_iterable(servers)), sandboxes)

    async def sandbox(self, settings: AnyExecutorSettings) -> Sandbox:
        """Return a started sandbox; raises `ExecutorUnavailable`."""
        key = "sandbox" + digest_of(settings.model_dump())
        if key not in self._open:
            sandbox = await start_sandbox(settings)
            self._stack.push_async_callback(sandbox.close)
            self._open[key] = sandbox
        found: Sandbox = self._open[key]
        return found

    def tools(self, config: PlaySettings, made: ToolBox) -> ToolBox:
        """Return a run's tools; runs with the same settings for them share those of the first."""
        settings = (config.search.model_dump(), config.alfworld.model_dump(), config.success)
        key = "tools" + digest_of(settings)
        if key not in self._open:
            self._stack.push_async_callback(made.close)
            self._open[key] = made
        found: ToolBox = self._open[key]
        return found

    async def facts(self, settings: AnyExecutorSettings) -> dict[str, Any]:
        """Return what a run's provenance says about a sandbox; raises `ExecutorUnavailable`."""
        key = "facts" + digest_of(settings.model_dump())
        if key not in self._open:
            self._open[key] = await facts_of(await self.sandbox(settings))
        found: dict[str, Any] = self._open[key]
        return found

    async def served(self, settings: ModelSettings) -> ModelSettings:
        """Return the settings of a running model, started if need be; raises `ModelUnavailable`."""
        key = "served" + digest_of(settings.model_dump())
        if key not in self._open:
            self._open[key] = await self._stack.enter_async_context(settings.served(self.notice))
        found: ModelSettings = self._open[key]
        return found

    async def client(
        self,
        settings: ModelSettings,
        keys: list[EpisodeKey],
        role: Role = "policy",
        *,
        cache: Cache | None = None,
    ) -> ModelClient:
        """Return a client that passed its check, which costs nothing but a token."""
        kept = None if cache is None else (cache.folder, cache.settings.identity())
        key = "model" + digest_of((settings.model_dump(), kept))
        if key not in self._open:
            client = create_client(await self.served(settings))
            self._stack.push_async_callback(client.close)
            if cache is not None:
                client = CachedModel(client, cache.settings, self._store(cache.folder))
            self._open[key] = client
        found: ModelClient = self._open[key]
        with naming_keys(settings, role):
            await found.check(keys, role)
        return found

    def _store(self, folder: str) -> ResponseStore:
        """Return the response cache in a folder; a process must not open one twice."""
        path = Path(folder).expanduser().resolve()
        key = f"cache{path}"
        if key not in self._open:
            store = ResponseStore(path)
            self._stack.push_async_callback(store.close)
            self._open[key] = store
        found: ResponseStore = self._open[key]
        return found
