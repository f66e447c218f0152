"""ALFWorld's real games, where their engine and the shared archive are present."""

import importlib.util
import tarfile
from pathlib import Path

import pytest

from codeact.datasets import preparing
from codeact.recordings.run_folder import read_records

SHARED = Path(__file__).parents[3] / "shared" / "data"
ARCHIVE = SHARED / "mint_tasks" / "alfworld.tar.gz"
RECORDED = SHARED / "transcripts"

needs_archive = pytest.mark.skipif(
    not ARCHIVE.is_file(), reason="ALFWorld's games of ../shared are not here"
)
needs_engine = pytest.mark.skipif(
    importlib.util.find_spec("textworld") is None,
    reason="the games' engine is not installed: pip install 'codeact[alfworld]'",
)


def unpacked(folder: Path) -> Path:
    """Unpack the archive; its folders are those of ``alfworld-download``."""
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, filter="data")
    return folder


def prepared(raw: Path, out: Path, **changes: object) -> preparing.Card:
    """Make task files of the unpacked archive."""
    preparer = preparing.get("alfworld")
    return preparing.prepare(preparer, str(raw), out, preparer.choice._replace(**changes))


def recorded_run(data: Path) -> list[str]:
    """Words of a run of two games that gpt-4 has played."""
    source = RECORDED / "gpt-4-0613/F=None/max5_p2+tool+cd/decision_making/alfworld"
    model = ["model=recorded", f"model.source={source}", "search=none", "tracker=none"]
    return [*model, "task=alfworld", f"data={data}", "limit=2"]


def solved_by_games(folder: Path) -> list[bool]:
    """Whether each episode of a run was solved without a proposal; none has failed."""
    records = list(read_records(folder))
    assert [record.outcome.cause for record in records] == [None] * len(records)
    return [record.outcome.success and not record.counts.propose_solution for record in records]
