"""Where the program that runs inside the sandbox is, and what tells its versions apart."""

import hashlib
from pathlib import Path

PRELOAD = ("numpy", "pandas", "sympy", "math_verify")
"""The libraries that a guest imports before any session, unless the settings name others."""


def guest_digest() -> str:
    """Return what tells one version of the guest program from another."""
    digest = hashlib.sha256()
    for path in guest_files():
        digest.update(f"{path.name} {path.stat().st_size}\n".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def guest_files() -> list[Path]:
    """Return the guest's modules, in the order of their names."""
    return sorted(guest_program().glob("*.py"))


def guest_program() -> Path:
    """Return the guest's folder: in an installed package, or in the source tree."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "_data" / "sandbox" / "guest"
    return installed if installed.is_dir() else package.parent / "sandbox" / "guest"
