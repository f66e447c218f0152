"""Build the sandbox's image; an error says what to do if its base cannot be fetched."""

import io
import os
import shlex
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from codeact.exceptions import ConfigError, ExecutorUnavailable
from codeact.sandboxes.docker.engine import connect
from codeact.sandboxes.guest_program import guest_digest, guest_files, guest_program
from codeact.sandboxes.settings import ImageSettings
from codeact.sandboxes.threads import in_thread

_UNREACHABLE = (
    "pull access denied",
    "dial tcp",
    "no such host",
    "timeout",
    "TLS handshake",
    "connection refused",
    "toomanyrequests",
    "No matching distribution",
)
OFFLINE_WHEELS = "codeact-offline"


class Image(msgspec.Struct, frozen=True):
    """A built image: its digest is what a run records."""

    name: str
    digest: str
    megabytes: int


async def build_image(
    settings: ImageSettings,
    *,
    engine: str | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Image:
    """Build the image; `say` gets the engine's lines. Raises ExecutorUnavailable, ConfigError."""
    return await in_thread(_build, settings, engine, say)


def _build(settings: ImageSettings, engine: str | None, say: Callable[[str], None]) -> Image:
    context = _context(settings)
    client = connect(engine)
    try:
        arguments = {"BASE_IMAGE": settings.base_image, "GUEST": guest_digest()}
        network: dict[str, Any] = {}
        if settings.wheels is not None:
            network["network_mode"] = "none"
        lines: Iterator[dict[str, Any]] = client.api.build(
            fileobj=context,
            custom_context=True,
            tag=settings.name,
            buildargs=arguments,
            rm=True,
            forcerm=True,
            decode=True,
            **network,
        )
        failed = [str(line["error"]) for line in _said(lines, say) if "error" in line]
        if failed:
            raise ExecutorUnavailable(_explain(failed[0], settings, engine))  # noqa: TRY301
        image = client.images.get(settings.name)
        return Image(settings.name, str(image.id), int(image.attrs["Size"]) >> 20)
    except ExecutorUnavailable:
        raise
    except Exception as error:
        raise ExecutorUnavailable(_explain(str(error), settings, engine)) from error
    finally:
        client.close()


def _said(lines: Iterator[dict[str, Any]], say: Callable[[str], None]) -> Iterator[dict[str, Any]]:
    for line in lines:
        if text := str(line.get("stream", "")).strip():
            say(text)
        yield line


def _explain(error: str, settings: ImageSettings, engine: str | None) -> str:
    unreachable = any(sign in error for sign in _UNREACHABLE)
    offline = f". {_offline(settings, engine)}" if unreachable else ""
    return f"the image was not built: {error}{offline}"


def _offline(settings: ImageSettings, engine: str | None) -> str:
    """Return what to do without a registry, as commands to copy."""
    script = guest_program().with_name("offline_image.sh")
    address = engine or os.environ.get("DOCKER_HOST")
    words = [f"DOCKER_HOST={shlex.quote(address)}"] if address else []
    words += [shlex.quote(word) for word in ("sh", str(script), OFFLINE_WHEELS, *settings.packages)]
    renamed = settings.name != ImageSettings().name
    return (
        "Where no registry can be reached, this makes a Debian base image and wheels for it, and "
        f"prints the command that builds the image of them:\n  {' '.join(words)}\n"
        + (f"(add image.name={settings.name} to that command.) " if renamed else "")
        + "Or load an image "
        "from another machine (docker load), or run with executor=local, which needs no image"
    )


def _context(settings: ImageSettings) -> io.BytesIO:
    """Pack what the Dockerfile copies."""
    files = {"Dockerfile": guest_program().with_name("Dockerfile")}
    files |= {f"guest/{path.name}": path for path in guest_files()}
    wheels: list[Path] = []
    if settings.wheels is not None:
        wheels = sorted(Path(settings.wheels).glob("*.whl"))
        if not wheels:
            raise ConfigError(
                f"image.wheels={settings.wheels} holds no wheels; put those of "
                "image.packages and all they need there"
            )
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        folder = tarfile.TarInfo("wheels")
        folder.type, folder.mode = tarfile.DIRTYPE, 0o755
        archive.addfile(folder)
        for name, path in files.items():
            archive.add(path, name)
        requirements = "".join(f"{package}\n" for package in settings.packages).encode()
        listed = tarfile.TarInfo("requirements.txt")
        listed.mode, listed.size = 0o644, len(requirements)
        archive.addfile(listed, io.BytesIO(requirements))
        for wheel in wheels:
            archive.add(wheel, f"wheels/{wheel.name}")
    data.seek(0)
    return data
