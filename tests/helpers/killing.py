"""Collections that are killed, at one moment after the other."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from tests.helpers.commands import begin

DETERMINED = ("report.json", "selected", "tiers/hard", "tiers/unsolved.tsv", "tiers/report.json")
Moment = Callable[[Path], bool]
"""Whether it has come, by what is in the folder of the collection."""


def outputs(out: Path) -> dict[str, bytes]:
    """Everything in a collection that does not depend on how long an episode took."""
    paths = [path for name in DETERMINED for path in [out / name, *(out / name).rglob("*")]]
    return {str(path.relative_to(out)): path.read_bytes() for path in paths if path.is_file()}


def lines_in(stage: str, count: int) -> Moment:
    def there(out: Path) -> bool:
        return any(
            path.read_bytes().count(b"\n") >= count
            for path in out.glob(f"runs/{stage}-*/episodes.jsonl")
        )

    return there


def exists(pattern: str) -> Moment:
    return lambda out: any(out.glob(pattern))


MOMENTS = {
    "in the weaker model's run": lines_in("weak", 3),
    "after the weaker model's run": exists("stages/weak-*.json"),
    "in tiers": exists(".unfinished-tiers-*"),
    "after tiers": exists("stages/tiers.json"),
    "in the strong model's run": lines_in("strong", 1),
    "after the strong model's run": exists("stages/strong.json"),
    "in selection": exists(".unfinished-selected-*"),
    "after selection": exists("stages/select.json"),
    "in statistics": exists(".unfinished-statistics-*"),
}


def kill_at_every_moment(command: list[str], out: Path) -> list[str]:
    """Begin `codeact collect` and kill it, once for each moment; returns those that it was caught
    at."""
    return [moment for moment, has_come in MOMENTS.items() if _killed(command, out, has_come)]


def _killed(command: list[str], out: Path, has_come: Moment) -> bool:
    """Whether the command was still there to be killed when the moment came."""
    nowhere = Path(os.devnull)
    process = begin(*command, out=nowhere, err=nowhere)
    while process.poll() is None and not has_come(out):
        time.sleep(0.003)
    process.kill()
    return process.wait() == -signal.SIGKILL
