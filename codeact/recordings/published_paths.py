"""The path of a published file: what was recorded, in the names of the folders around it.

``<model>/F=<None or feedback model>[/PHF=<kind>]/<turn setting>/<task type>/<task name>[/<split>]``

A data set that is published under another name than ours has ours everywhere but in these paths and
in published ids.
"""

import re
from pathlib import Path, PurePosixPath
from typing import Self

import msgspec

from codeact.exceptions import RecordingError

PUBLISHED = "results.jsonl"
_PUBLISHED_NAMES = {"apps": "APPS"}
_OUR_NAMES = {published: ours for ours, published in _PUBLISHED_NAMES.items()}
_FORM = (
    "<model>/F=<None or feedback model>[/PHF=<kind>]/<turn setting>/<task type>/"
    f"<task name>[/<split>]/{PUBLISHED}"
)


class PublishedPath(msgspec.Struct, frozen=True):
    """What the path of a published file says of its episodes.

    `feedback_model` and `feedback_kind` are empty without feedback, `split` where there is none.
    """

    model: str
    feedback_model: str
    feedback_kind: str
    turn_setting: str
    task_type: str
    task_name: str
    split: str = ""

    @classmethod
    def parse(cls, path: Path) -> Self:
        """Take a file's path apart; raises `RecordingError` if it does not say enough."""
        parts = list(path.resolve().parent.parts)
        marks = [i for i, part in enumerate(parts) if part.startswith("F=")]
        rest = parts[marks[-1] + 1 :] if marks else []
        kind = rest.pop(0).removeprefix("PHF=") if rest and rest[0].startswith("PHF=") else ""
        if len(rest) not in (3, 4):
            raise RecordingError(
                f"{path}: its path does not say what was recorded; expected {_FORM}"
            )
        feedback_model = parts[marks[-1]].removeprefix("F=")
        return cls(
            model=_name(parts[marks[-1] - 1]),
            feedback_model="" if feedback_model == "None" else _name(feedback_model),
            feedback_kind=_name(kind),
            turn_setting=_name(rest[0]),
            task_type=_name(rest[1]),
            task_name=our_name(_name(rest[2])),
            split=_name(rest[3]) if len(rest) == 4 else "",
        )

    @property
    def feedback(self) -> str:
        """``none``, or the feedback model and its kind, as a record names them."""
        return feedback_name(self.feedback_model, self.feedback_kind)

    @property
    def file(self) -> PurePosixPath:
        """The path below the root of a tree; `parse` gives the same back.

        A name such as ``org/model`` is one folder: its slash is written ``%2F``, and what looks
        like that already has ``%25`` for its percent sign.
        """
        feedback = f"F={_folder(self.feedback_model) if self.feedback_model else 'None'}"
        kind = [f"PHF={_folder(self.feedback_kind)}"] if self.feedback_kind else []
        names = [self.turn_setting, self.task_type, published_name(self.task_name)]
        split = [self.split] if self.split else []
        folders = [_folder(self.model), feedback, *kind, *map(_folder, [*names, *split])]
        return PurePosixPath(*folders, PUBLISHED)

    @property
    def experiment(self) -> PurePosixPath:
        """The folder of the run that holds these episodes, below the root of imported runs."""
        feedback = [_folder(part) for part in (self.feedback_model, self.feedback_kind) if part]
        return PurePosixPath(
            _folder(self.model), *(feedback or ["none"]), _folder(self.turn_setting)
        )


def feedback_name(model: str, kind: str) -> str:
    """Name the feedback of an experiment: ``none``, or model and kind."""
    return f"{model}/{kind}" if model else "none"


def feedback_parts(name: str) -> tuple[str, str]:
    """Split a feedback's name into model and kind, both empty without feedback."""
    model, _, kind = name.rpartition("/")
    return (model, kind) if model else ("", "")


def published_name(task_name: str) -> str:
    """Return the name under which a data set is published."""
    return _PUBLISHED_NAMES.get(task_name, task_name)


def our_name(published: str) -> str:
    """Return our name of a data set that is published under this one."""
    return _OUR_NAMES.get(published, published)


_ESCAPED = {"%25": "%", "%2F": "/", "%2E": "."}
_ESCAPE = re.compile("|".join(_ESCAPED))
_LIKE_ESCAPE = re.compile("%(?=25|2F|2E)")


def _folder(name: str) -> str:
    if name in (".", ".."):
        return name.replace(".", "%2E")
    return _LIKE_ESCAPE.sub("%25", name).replace("/", "%2F")


def _name(folder: str) -> str:
    return _ESCAPE.sub(lambda found: _ESCAPED[found[0]], folder)
