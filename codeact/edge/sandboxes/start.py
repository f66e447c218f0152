"""Start the executor that the settings name, and say what it was."""

from typing import Any

from codeact.edge.sandboxes.base import Sandbox
from codeact.edge.sandboxes.sandbox import GuestSandbox
from codeact.edge.sandboxes.settings import AnyExecutorSettings, LocalSettings
from codeact.edge.sandboxes.sweep import sweep_folders


async def start_sandbox(settings: AnyExecutorSettings) -> Sandbox:
    """Start an executor; raises ExecutorUnavailable, saying what to do, where it cannot run."""
    sweep_folders()
    if isinstance(settings, LocalSettings):
        from codeact.edge.sandboxes.local import LocalSandbox

        local = LocalSandbox(settings)
        await local.start()
        return local
    # docker is slow to import, and needed here only.
    from codeact.edge.sandboxes.docker import DockerSandbox

    docker = DockerSandbox(settings)
    await docker.start()
    return docker


def facts_of(sandbox: Sandbox) -> dict[str, Any]:
    """Return what a run's provenance says of its sandbox: executor, guest program, image."""
    return sandbox.facts if isinstance(sandbox, GuestSandbox) else {}
