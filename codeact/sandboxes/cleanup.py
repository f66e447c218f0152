"""Remove everything that dead owners left behind: folders, control groups, containers."""

from codeact.sandboxes.sweep import Swept, sweep_folders, sweep_groups
from codeact.sandboxes.threads import in_thread


async def sweep(engine: str | None = None, *, docker: bool = True) -> list[Swept]:
    """Remove leftovers of dead owners; what belongs to a live one is never touched."""
    swept = sweep_folders() + sweep_groups()
    if docker:
        # docker is slow to import.
        from codeact.sandboxes.docker.sweep import sweep_containers

        swept += await in_thread(sweep_containers, engine)
    return swept
