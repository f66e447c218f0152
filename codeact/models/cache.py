"""A response cache in a folder, so that the same request is not paid for twice."""

import asyncio
import hashlib
import json
import logging
import time
from collections.abc import Collection, Sequence
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import msgspec

from codeact.episode.effects import Completion
from codeact.episode.messages import RequestOptions
from codeact.exceptions import ConfigError
from codeact.models.base import (
    Detokenizes,
    EpisodeKey,
    Metered,
    ModelClient,
    ModelSettings,
    Probed,
    Rehearsed,
    Request,
    RequestMeter,
    Role,
    SharesLimits,
)
from codeact.models.replicas import EndpointStats, HasServers

if TYPE_CHECKING:
    import lmdb

log = logging.getLogger(__name__)

_MAP_SIZE = 2**36
"""Bytes of address space; the file grows only with what is in it."""
_READERS = 1024

_KEYED = tuple(name for name in Request.__struct_fields__ if name != "meter")
_COMPLETION = msgspec.json.Decoder(Completion)


class CachedModel:
    """A model whose completions are looked up in a cache first, and stored when they are new."""

    def __init__(
        self, client: ModelClient, settings: ModelSettings, store: "ResponseStore"
    ) -> None:
        self._client = client
        self._store = store
        self._free = None if settings.prices is None else 0.0
        self._settings = settings
        self._digest: hashlib._Hash | None = None
        self._learning = asyncio.Lock()
        self.plain = client.plain

    async def check(self, episodes: Collection[EpisodeKey] = (), role: Role = "policy") -> None:
        """Check the model itself: whether its answers are all there cannot be told in advance."""
        await self._client.check(episodes, role)
        await self._learn()

    async def probe(self) -> None:
        """Ask the model itself."""
        if isinstance(self._client, Probed):
            await self._client.probe()

    async def rehearse(self, options: RequestOptions, seed: int | None) -> None:
        """Ask the model itself, even where every answer may be in the cache."""
        if isinstance(self._client, Rehearsed):
            await self._client.rehearse(options, seed)

    async def serving(self) -> list[dict[str, Any]]:
        """What the model itself says."""
        return await self._client.serving() if isinstance(self._client, Probed) else []

    async def complete(self, request: Request) -> Completion:
        started = time.monotonic()
        key = self._key(self._digest or await self._learn(), request)
        if (kept := self._store.get(key)) is not None:
            return msgspec.structs.replace(
                kept, seconds=time.monotonic() - started, retries=(), cost=self._free, reused=True
            )
        answer = await self._client.complete(request)
        self._store.put(key, answer)
        return answer

    async def _learn(self) -> "hashlib._Hash":
        """Find out, once, what serves."""
        async with self._learning:
            if self._digest is None:
                serving = self._settings.served_by(await self.serving())
                self._digest = hashlib.sha256(_canonical((self._settings.identity(), serving)))
            return self._digest

    @staticmethod
    def _key(digest: "hashlib._Hash", request: Request) -> bytes:
        whole = digest.copy()
        # Requests without them have the key that they had before there were tools and formats.
        asked = msgspec.to_builtins({name: getattr(request, name) for name in _KEYED})
        for name in ("tools", "response_format"):
            if not asked[name]:
                del asked[name]
        whole.update(_canonical(asked))
        return whole.digest()

    async def text_of(self, ids: Sequence[int]) -> str | None:
        """What the model itself says."""
        return await self._client.text_of(ids) if isinstance(self._client, Detokenizes) else None

    @property
    def checks(self) -> RequestMeter:
        """What checks of the model itself take."""
        return self._client.checks if isinstance(self._client, Metered) else RequestMeter()

    def share(self, workers: int) -> None:
        """Only what is asked of the model itself falls under its limits."""
        if isinstance(self._client, SharesLimits):
            self._client.share(workers)

    def stats(self) -> list[EndpointStats]:
        """What the model's own servers do."""
        return self._client.stats() if isinstance(self._client, HasServers) else []

    async def close(self) -> None:
        await self._client.close()


def _canonical(value: object) -> bytes:
    """Encode the same data always the same way."""
    try:
        return msgspec.json.encode(value, order="deterministic")
    except UnicodeEncodeError:  # lone surrogates, which JSON can hold only as escapes
        return json.dumps(msgspec.to_builtins(value), sort_keys=True).encode()


def _opened(folder: Path, map_size: int) -> "lmdb.Environment":
    """Open an LMDB environment; another process may make it larger at the same moment."""
    import lmdb

    while True:
        try:
            return lmdb.open(
                str(folder),
                map_size=map_size,
                max_readers=_READERS,
                # A crash of the machine may cost the last answers, never the earlier ones.
                metasync=False,
            )
        except lmdb.MapResizedError:
            # This ends: the file doubles each time, and the disk is finite.
            continue


class ResponseStore:
    """Completions by key, in a folder; open one per folder and process.

    New completions are written soon afterwards by a thread, many at a time; `close` writes the
    rest. Raises `ConfigError` when the folder cannot be used.
    """

    def __init__(self, folder: Path, map_size: int = _MAP_SIZE) -> None:
        import lmdb  # not every command needs it

        self._folder = folder
        self._new: dict[bytes, bytes] = {}
        self._writing: asyncio.Task[None] | None = None
        # LMDB forbids to resize the map while a transaction of this process is open.
        self._map = Lock()
        self._told = False
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lmdb = _opened(folder, map_size)
            self._lmdb.reader_check()
        except (OSError, lmdb.Error) as error:
            raise ConfigError(
                f"cache={folder} cannot be used as a response cache: {error}. Give a folder that "
                "is new or was one before, on a disk of this machine, or cache=null"
            ) from error

    def get(self, key: bytes) -> Completion | None:
        """Return a completion; None if there is none, or it is damaged."""
        value = self._new.get(key) or self._read(key)
        if value is None:
            return None
        try:
            return _COMPLETION.decode(value)
        except ValueError:
            return None

    def _read(self, key: bytes) -> bytes | None:
        import lmdb

        with self._map:
            try:
                try:
                    return self._get(key)
                except lmdb.MapResizedError:
                    self._lmdb.set_mapsize(0)  # another process has made it larger: take its size
                    return self._get(key)
            except lmdb.Error as error:
                self._warn(f"cannot be read, so the model is asked: {error}")
                return None

    def _get(self, key: bytes) -> bytes | None:
        with self._lmdb.begin() as transaction:
            return transaction.get(key)

    def put(self, key: bytes, answer: Completion) -> None:
        """Keep an answer."""
        try:
            self._new[key] = msgspec.json.encode(answer)
        except UnicodeEncodeError:
            return  # no UTF-8 can hold its lone surrogates
        if self._writing is None:
            self._writing = asyncio.create_task(self._write_all())

    async def _write_all(self) -> None:
        try:
            while self._new:
                batch = dict(self._new)
                await asyncio.to_thread(self._write, batch)
                for key in batch:
                    self._new.pop(key, None)
        finally:
            self._writing = None

    def _write(self, batch: dict[bytes, bytes]) -> None:
        import lmdb

        try:
            while not self._is_written(batch):
                pass
        except lmdb.Error as error:
            self._warn(f"cannot be written, so new answers are not kept: {error}")

    def _is_written(self, batch: dict[bytes, bytes]) -> bool:
        """Write a batch, or make room for the next try."""
        import lmdb

        try:
            with self._lmdb.begin(write=True) as transaction:
                for key, value in batch.items():
                    transaction.put(key, value)
        except lmdb.MapResizedError:
            self._resize(0)
            return False
        except lmdb.MapFullError:
            self._resize(2 * self._lmdb.info()["map_size"])
            return False
        return True

    def _resize(self, size: int) -> None:
        with self._map:
            self._lmdb.set_mapsize(size)

    def _warn(self, words: str) -> None:
        if not self._told:
            self._told = True
            log.warning("the response cache %s %s", self._folder, words)

    async def close(self) -> None:
        """Write what is left and let go of the folder."""
        if self._writing is not None:
            await self._writing
        self._lmdb.close()
