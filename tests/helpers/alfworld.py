"""ALFWorld's real games, where their engine and the shared archive are present."""

import importlib.util
import tarfile
from pathlib import Path

import pytest

from codeact.datasets import preparing

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
