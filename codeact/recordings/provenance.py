"""Where a run comes from: commit, versions, data digests, command line. Never a secret."""

import platform
import subprocess
import sys
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import codeact
from codeact.files import file_digest
from codeact.wording import without_secrets

__all__ = ["file_digest", "provenance"]

_REPL = ("ipython", "math-verify", "numpy", "pandas", "scipy", "sympy")
PACKAGES = ("hydra-core", "omegaconf", "docker", "msgspec", "ray", *_REPL)


def provenance(files: Iterable[Path], sandbox: dict[str, Any]) -> dict[str, Any]:
    """One session of a run, as JSON data; `files` are digested, `sandbox` is taken as it is."""
    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "command_line": [without_secrets(word) for word in sys.argv],
        "codeact": codeact.__version__,
        "git": _git(Path(codeact.__file__).parent),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: _version(name) for name in PACKAGES},
        "data": {str(path): file_digest(path) for path in files},
        "sandbox": sandbox,
    }


def changed_versions(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """List what has another version than in an earlier session, as ``numpy 1.26.4 → 2.0.0``.

    What only one of the two sessions knows is skipped.
    """
    old, new = _versions(before), _versions(now)
    return [
        f"{name} {old[name] or 'absent'} → {new[name] or 'absent'}"
        for name in sorted(old.keys() & new.keys())
        if old[name] != new[name]
    ]


def _versions(session: Mapping[str, Any]) -> dict[str, Any]:
    """Versions in one session: codeact, the sandbox's program, the REPL's Python and packages."""
    sandbox = _dict(session.get("sandbox"))
    versions = {"codeact": session.get("codeact"), "sandbox program": sandbox.get("guest")}
    repl = _dict(sandbox.get("repl"))
    if repl:
        return {**versions, "python": repl.get("python"), **_dict(repl.get("packages"))}
    if sandbox.get("executor") == "local":
        # Older sessions know of the driver's packages alone, and shared them with the REPL.
        packages = _dict(session.get("packages"))
        return {**versions, **{name: packages[name] for name in _REPL if name in packages}}
    return versions


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _git(folder: Path) -> dict[str, Any] | None:
    """Commit and dirty flag of our own checkout; None for an installed wheel."""

    def git(*words: str) -> str:
        done = subprocess.run(  # noqa: S603
            ["git", "-C", str(folder), *words],  # noqa: S607
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        )
        return done.stdout.strip()

    try:
        tracked = git("ls-files", "--error-unmatch", "__init__.py")
        commit, dirty = git("rev-parse", "HEAD"), bool(git("status", "--porcelain"))
    except (OSError, subprocess.SubprocessError):
        return None
    return {"commit": commit, "dirty": dirty} if tracked else None
