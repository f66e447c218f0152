"""Start the executor that the settings name, and describe it for a run's provenance."""

from typing import Any

import msgspec

from codeact.exceptions import ExecutorUnavailable, SandboxFailure
from codeact.sandboxes.base import Sandbox
from codeact.sandboxes.sandbox import GuestSandbox
from codeact.sandboxes.settings import AnyExecutorSettings, LocalSettings
from codeact.sandboxes.sweep import sweep_folders, sweep_groups
from codeact.sandboxes.threads import in_thread


async def start_sandbox(settings: AnyExecutorSettings) -> Sandbox:
    """Start an executor; raises ExecutorUnavailable, saying what to do, where it cannot run.

    If it cannot start, or the caller is cancelled, nothing of it is left.
    """
    sandbox = _sandbox(settings)
    sweep_folders()
    await in_thread(sweep_groups)
    try:
        await sandbox.start()
    except SandboxFailure as failure:
        await sandbox.close()
        other = "docker" if settings.kind == "local" else "local"
        raise ExecutorUnavailable(
            f"executor={settings.kind} cannot start: {failure}\n"
            f"On a slow or busy machine raise executor.start_seconds; or choose executor={other}"
        ) from failure
    except BaseException:
        await sandbox.close()
        raise
    return sandbox


def _sandbox(settings: AnyExecutorSettings) -> GuestSandbox:
    if isinstance(settings, LocalSettings):
        from codeact.sandboxes.local import LocalSandbox

        return LocalSandbox(settings)
    # docker is slow to import, and needed here only.
    from codeact.sandboxes.docker.executor import DockerSandbox

    return DockerSandbox(settings)


async def facts_of(sandbox: Sandbox) -> dict[str, Any]:
    """Return what a run's provenance says of its sandbox.

    That is executor, guest program and image, and as ``repl`` the versions that cells meet.
    """
    facts = sandbox.facts if isinstance(sandbox, GuestSandbox) else {}
    return {**facts, "repl": await _versions(sandbox)}


_PACKAGES = (
    *("antlr4-python3-runtime", "beautifulsoup4", "ipython", "math-verify", "matplotlib"),
    *("networkx", "nltk", "numpy", "pandas", "requests", "scipy", "sympy"),
)
_LOOK = f"""
import platform
from importlib.metadata import PackageNotFoundError, version
def found(name):
    try:
        return version(name)
    except PackageNotFoundError:
        return None
RESULT = {{
    "python": platform.python_version(),
    "packages": {{name: found(name) for name in {_PACKAGES!r}}},
}}
"""
_LOOK_SECONDS = 30.0


class _Versions(msgspec.Struct):
    python: str
    packages: dict[str, str | None]


async def _versions(sandbox: Sandbox) -> dict[str, Any]:
    """Ask a session, because the sandbox's Python may differ from ours."""
    try:
        async with await sandbox.session() as session:
            told = await session.evaluate(_LOOK, seconds=_LOOK_SECONDS)
        return msgspec.to_builtins(msgspec.convert(told.value, _Versions))  # type: ignore[no-any-return]
    except (SandboxFailure, msgspec.ValidationError):
        # The first episode reports what does not work, and better.
        return {}
