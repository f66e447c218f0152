"""Small packages with one entry point each, for the time of a test: above all broken ones.

examples/plugin/ is a whole one; tests/test_docs.py installs it as its README says.
"""

from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Put packages on the path whose entry points name what their modules call ``PART``."""
    installed: list[str] = []

    def put(group: str, content: str, name: str = "mine") -> None:
        module = f"plugin_{tmp_path.name.replace('-', '_')}_{len(installed)}"
        installed.append(module)
        folder = tmp_path / module
        about = folder / f"{module}-1.dist-info"
        about.mkdir(parents=True)
        (folder / f"{module}.py").write_text(content)
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1\n")
        (about / "entry_points.txt").write_text(f"[{group}]\n{name} = {module}:PART\n")
        monkeypatch.syspath_prepend(folder)

    return put
