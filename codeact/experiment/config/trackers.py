"""The settings of trackers, and how their kinds are found: ours, and those of plug-ins."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, PlainValidator, SerializeAsAny, TypeAdapter

from codeact.episode.settings import Settings
from codeact.exceptions import ConfigError
from codeact.plugins import Registry


class TrackerSettings(Settings):
    """Base of every tracker's settings; a subclass adds ``kind: Literal["its name"]``."""

    tracker_class: ClassVar[str] = ""
    """The tracker's class as ``module:Class``, imported when one is made; called with a notice."""

    required: bool = False
    """Whether a run is refused where this tracker cannot be used, before anything is spent; else
    it goes on without."""

    @property
    def conversations(self) -> int:
        """How many readable trajectories the tracker wants at a run's end."""
        return 0


class NoTrackerSettings(Settings):
    """Nothing but the run folder keeps the results."""

    kind: Literal["none"]
    """No tracker."""


class WandbSettings(TrackerSettings):
    """Weights & Biases. `mode` ``auto`` is online where there is a key for it, else offline."""

    tracker_class: ClassVar[str] = "codeact.results.trackers.wandb:WandbTracker"

    kind: Literal["wandb"]
    """Weights & Biases."""
    project: str
    """The project at W&B."""
    entity: str | None = None
    """The team or user at W&B; null is your default one."""
    mode: Literal["auto", "online", "offline"] = "auto"
    """`auto` is online where there is a key, else offline."""
    group: str | None = Field(default=None, max_length=128)
    """The group of the run at W&B; null is the sweep's name, or that of the run's settings."""
    tags: list[str] = Field(default_factory=list)
    """Tags of the run at W&B, beside those that name its model, turns, feedback and settings."""
    trajectories: int = Field(default=50, ge=0, le=10_000)
    """How many episodes the table of readable trajectories holds at most."""
    artifact: bool = False
    """Whether all episodes, the configuration and the summary are uploaded as an artifact, without
    keys."""

    @property
    def conversations(self) -> int:
        return self.trajectories


class TensorboardSettings(TrackerSettings):
    """TensorBoard's event files in the run folder; needs the extra `tensorboard`."""

    tracker_class: ClassVar[str] = "codeact.results.trackers.tensorboard:TensorboardTracker"

    kind: Literal["tensorboard"]
    """TensorBoard's event files, in the folder `tensorboard` of the run folder."""


def _settings(found: Any) -> type[Settings] | None:
    admitted = (TrackerSettings, NoTrackerSettings)
    return found if isinstance(found, type) and issubclass(found, admitted) else None


TRACKERS = Registry[type[Settings]](
    group="codeact.trackers",
    sort="kind of tracker",
    wanted="a subclass of codeact.experiment.config.trackers.TrackerSettings",
    part=_settings,
    ours={
        "none": f"{__name__}:NoTrackerSettings",
        "tensorboard": f"{__name__}:TensorboardSettings",
        "wandb": f"{__name__}:WandbSettings",
    },
)


def _one(value: Any) -> Settings:
    if isinstance(value, TrackerSettings | NoTrackerSettings):
        return value
    if not isinstance(value, dict) or not isinstance(value.get("kind"), str):
        kinds = ", ".join(TRACKERS.names())
        raise ValueError(f"a tracker needs a kind, one of: {kinds}")  # noqa: TRY004 (pydantic's)
    try:
        chosen = TRACKERS.get(value["kind"])
    except ConfigError as error:
        raise ValueError(str(error)) from error
    return chosen.model_validate(value)


def _one_or_several(value: Any) -> Settings | dict[str, TrackerSettings]:
    if not isinstance(value, dict) or "kind" in value:
        return _one(value)
    found = _SEVERAL.validate_python(value)
    if not found or any(isinstance(one, NoTrackerSettings) for one in found.values()):
        raise ValueError("a list of trackers holds one or more, and none is not one of them")
    return found


_One = SerializeAsAny[TrackerSettings]
_SEVERAL: TypeAdapter[dict[str, TrackerSettings]] = TypeAdapter(
    dict[str, Annotated[_One, PlainValidator(_one)]]
)
AnyTrackers = Annotated[_One | NoTrackerSettings | dict[str, _One], PlainValidator(_one_or_several)]
"""The type of a field that takes one tracker, or several by name."""


def trackers_of(
    value: TrackerSettings | NoTrackerSettings | Mapping[str, TrackerSettings],
) -> dict[str, TrackerSettings]:
    """Return the trackers that a configuration asks for, by name."""
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, NoTrackerSettings):
        return {}
    return {str(getattr(value, "kind", "tracker")): value}
