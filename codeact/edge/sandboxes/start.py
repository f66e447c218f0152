"""Start the executor that the settings name, and say what it was."""

from typing import Any

from codeact.edge.sandboxes.base import Sandbox
from codeact.edge.sandboxes.sandbox import GuestSandbox
from codeact.edge.sandboxes.settings import AnyExecutorSettings, LocalSettings
from codeact.edge.sandboxes.sweep import sweep_folders, sweep_groups
from codeact.edge.sandboxes.threads import in_thread


async def start_sandbox(settings: AnyExecutorSettings) -> Sandbox:
    """Start an executor; raises ExecutorUnavailable, saying what to do, where it cannot run.

    Nothing of it is left where it could not be started, or was not to be any more.
    """
    sandbox = _sandbox(settings)
    sweep_folders()
    await in_thread(sweep_groups)
    try:
        await sandbox.start()
    except BaseException:
        await sandbox.close()
        raise
    return sandbox


def _sandbox(settings: AnyExecutorSettings) -> GuestSandbox:
    if isinstance(settings, LocalSettings):
        from codeact.edge.sandboxes.local import LocalSandbox

        return LocalSandbox(settings)
    # docker is slow to import, and needed here only.
    from codeact.edge.sandboxes.docker import DockerSandbox

    return DockerSandbox(settings)


def facts_of(sandbox: Sandbox) -> dict[str, Any]:
    """Return what a run's provenance says of its sandbox: executor, guest program, image."""
    return sandbox.facts if isinstance(sandbox, GuestSandbox) else {}
