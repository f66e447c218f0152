"""The settings of a model behind an HTTP address: where it is, and how it is asked."""

import re
from collections.abc import Collection
from typing import Annotated, Any, ClassVar, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, ConfigDict, Field

from codeact.episode.settings import Settings
from codeact.models.base import ModelSettings, without_none
from codeact.models.remote.parameters import ParameterAdvice


class TimeoutSettings(Settings):
    """Seconds: `total` bounds one attempt, `wait` the longest Retry-After that is obeyed."""

    connect: float = Field(default=10.0, gt=0)
    """Seconds to connect."""
    total: float = Field(default=600.0, gt=0)
    """Seconds for one attempt."""
    wait: float = Field(default=300.0, ge=0)
    """The longest Retry-After that is obeyed, in seconds."""


def _endpoint(value: str) -> str:
    url = urlsplit(value)
    if url.scheme not in ("http", "https") or not url.hostname:
        raise ValueError("give a whole address, such as http://127.0.0.1:8000/v1")
    if url.username or url.password or url.query or url.fragment:
        raise ValueError(
            "an address holds no key, query or fragment: put the key into an environment "
            "variable and name that in api_key_env"
        )
    return value.rstrip("/")


def _variable(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", value):
        raise ValueError("give the name of an environment variable, not the key itself")
    return value


ServerAddress = Annotated[str, AfterValidator(_endpoint)]
VariableName = Annotated[str, AfterValidator(_variable)]


def without_reserved(extra: dict[str, Any], reserved: Collection[str]) -> dict[str, Any]:
    """Return further keys of a request's body; refuses those that codeact sets: `ValueError`."""
    if taken := sorted(extra.keys() & reserved):
        raise ValueError(f"{', '.join(taken)}: set by codeact itself, so not through extra")
    return extra


class RemoteSettings(ModelSettings):
    """An endpoint, the model behind it, and how to treat both.

    `name` is the model's id at the server. `stop_limit` is how many stop strings the server
    takes (OpenAI: 4; None for any number): the others are enforced here alone. `overflow` says
    what to do when prompt and `max_tokens` together do not fit the context: end the episode, or
    ask once more for as many tokens as the server says there is room for.
    """

    model_config = ConfigDict(hide_input_in_errors=True)
    incidental = ModelSettings.incidental | (
        {
            "base_url",
            "base_urls",
            "affinity",
            "api_key_env",
            "transport",
            "use_proxy",
            "timeout",
            "max_retries",
            "concurrency",
            "requests_per_minute",
            "tokens_per_minute",
            "stop_limit",
            "probe",
        }
    )

    sdk_class: ClassVar[str] = ""
    """The transport by the vendor's own package, as ``module:Class``."""
    models_route: ClassVar[str] = "models"
    """Where a server lists its models, after its address."""
    checked_keys: ClassVar[str] = "name, base_url, sampling"
    """Settings to check where a server refuses a request."""
    advice: ClassVar[ParameterAdvice] = ParameterAdvice({}, {}, "")
    """What to do about a parameter that a server does not take."""

    kind: str
    """The kind of endpoint."""
    base_url: ServerAddress
    """The address of the endpoint, such as http://127.0.0.1:8000/v1."""
    base_urls: list[ServerAddress] = Field(default_factory=list)
    """Further servers of the same model; load is balanced over all."""
    affinity: bool = True
    """Whether all turns of an episode go to one server, whose prefix cache then knows them."""
    api_key_env: VariableName | None = None
    """The environment variable that holds the key; null sends none."""
    transport: Literal["sdk", "lean"] = "lean"
    """`sdk` sends requests through the vendor's own package, `lean` through aiohttp alone, which
    takes a quarter of the CPU time. Requests, limits, retries and results are the same."""
    use_proxy: bool = True
    """Whether servers are reached by the proxy that the environment names (HTTPS_PROXY, NO_PROXY).
    A server on this machine never is."""
    revision: str | None = None
    """Which version of the model the servers have, in the user's own words, where its name does not
    say so. Another one is another experiment, and shares no cached answers."""
    timeout: TimeoutSettings = TimeoutSettings()
    """How long is waited."""
    max_retries: int = Field(default=6, ge=0)
    """How often a failed request is sent again."""
    concurrency: int = Field(default=256, ge=1)
    """The most requests under way at once, to each server."""
    requests_per_minute: int | None = Field(default=None, ge=1)
    """The most requests a minute; null is no bound."""
    tokens_per_minute: int | None = Field(default=None, ge=1)
    """The most tokens a minute; null is no bound."""
    stop_limit: int | None = Field(default=4, ge=0)
    """How many stop strings the server takes (OpenAI: 4); the others are enforced here. Null is
    any number."""
    overflow: Literal["fail", "shrink"] = "fail"
    """When prompt and `max_tokens` do not fit the context: `fail` ends the episode, `shrink`
    asks for as many tokens as there is room for."""
    probe: bool = True
    """Whether `check` asks the server for its models before the run starts."""

    def identity(self) -> dict[str, Any]:
        """What decides the answers; a revision only where there is one."""
        return without_none(super().identity(), "revision")

    @property
    def model_id(self) -> str:
        """What the server calls the model."""
        return self.name

    @property
    def naming(self) -> str:
        """What to check where the server does not know the `model_id`."""
        return f"the model's name, {self.name}"

    @property
    def naming_key(self) -> str:
        """The key of the `model_id`."""
        return "model.name"

    def listed_as(self, listed: dict[str, Any]) -> str | None:
        """Return the name of the model in a server's list; None if it is not there."""
        return self.model_id if self.model_id in listed else None

    @property
    def lists_models(self) -> bool:
        """Whether the server's list of models has this one under its `model_id`."""
        return True

    @property
    def credential_key(self) -> str:
        """The setting that names the environment variable of what shows who asks."""
        return "api_key_env"

    @property
    def credential_env(self) -> str | None:
        """The environment variable of what shows who asks."""
        name: str | None = getattr(self, self.credential_key)
        return name

    def headers(self, key: str) -> dict[str, str]:
        """Return the headers of every request, for a transport without the vendor's package."""
        return {"Authorization": f"Bearer {key}"} if key else {}

    @property
    def addresses(self) -> list[str]:
        """Every server, each once."""
        return list(dict.fromkeys([self.base_url, *self.base_urls]))

    def shared_by(self, workers: int) -> Self:
        """The settings for each of so many processes; a limit below their number is 1 for each."""

        def share(limit: int | None) -> int | None:
            return None if limit is None else max(1, limit // workers)

        limits = ("concurrency", "requests_per_minute", "tokens_per_minute")
        return self.model_copy(update={name: share(getattr(self, name)) for name in limits})
