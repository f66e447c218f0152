"""Packages with an entry point, installed as any other package is, for the time of a test."""

from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Put a package on the path whose entry point names what its module calls ``PART``."""

    def put(group: str, content: str, name: str = "mine") -> None:
        module = f"plugin_{tmp_path.name.replace('-', '_')}"
        (tmp_path / f"{module}.py").write_text(content)
        about = tmp_path / f"{module}-1.dist-info"
        about.mkdir()
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1\n")
        (about / "entry_points.txt").write_text(f"[{group}]\n{name} = {module}:PART\n")
        monkeypatch.syspath_prepend(tmp_path)

    return put
