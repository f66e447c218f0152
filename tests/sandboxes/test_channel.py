"""What host and relay queue for a connection that is not read, or has ended, is bounded."""

import asyncio
import sys
from pathlib import Path
from typing import Any

from codeact.sandboxes.channel import Channel
from codeact.sandboxes.docker.relay import FRAME
from codeact.sandboxes.guest_program import guest_program
from codeact.sandboxes.settings import DockerSettings, LocalSettings


async def test_who_does_not_read_is_hung_up_on(tmp_path: Path) -> None:
    """More than the bound, and one message, is never queued for a connection."""
    lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    door = await asyncio.start_unix_server(lambda reader, _: asyncio.sleep(60), tmp_path / "door")
    async with door:
        channel = Channel(lambda body: None, lost.set_result, 1 << 16, 1 << 20)
        await asyncio.get_running_loop().create_unix_connection(
            lambda: channel, str(tmp_path / "door")
        )
        for _ in range(30):
            channel.send({"reply": 1, "result": "x" * (1 << 20)})
        assert await asyncio.wait_for(lost, 30) == "it does not read its connection"


async def test_the_guests_relay_outlives_its_lanes(tmp_path: Path) -> None:
    """What comes late for a lane that has ended, or is never read, costs the others nothing."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        word = await reader.readexactly(4)
        if word == b"hold":
            await asyncio.sleep(60)
        writer.write(word)
        writer.close()

    async def frame() -> tuple[int, bytes]:
        number, size = FRAME.unpack(await relay.stdout.readexactly(FRAME.size))
        return number, await relay.stdout.readexactly(size)

    def send(number: int, data: bytes) -> None:
        relay.stdin.write(FRAME.pack(number, len(data)) + data)

    pipe = asyncio.subprocess.PIPE
    door = await asyncio.start_unix_server(serve, tmp_path / "door")
    relay: Any = await asyncio.create_subprocess_exec(
        *[sys.executable, "-B", str(guest_program()), "--relay", str(tmp_path)],
        stdin=pipe,
        stdout=pipe,
    )
    async with door, asyncio.timeout(60):
        try:
            send(1, b"door")
            send(1, b"one!")
            assert [await frame(), await frame()] == [(1, b"one!"), (1, b"")]
            send(1, b"\xff late, and no name of a socket")
            send(1, b"")
            send(2, b"door")
            send(2, b"two!")
            assert [await frame(), await frame()] == [(2, b"two!"), (2, b"")]
            send(3, b"door")
            for _ in range(20):
                send(3, b"hold" + bytes(1 << 20))
            assert await frame() == (3, b"")
            send(4, b"door")
            send(4, b"four")
            assert [await frame(), await frame()] == [(4, b"four"), (4, b"")]
        finally:
            relay.kill()
            await relay.wait()


def test_limits_that_came_later_leave_old_runs_the_same() -> None:
    for settings in (LocalSettings(), DockerSettings()):
        assert "tool_calls_per_cell" not in settings.identity()
        changed = settings.model_copy(update={"tool_calls_per_cell": 7})
        assert changed.identity() == {**settings.identity(), "tool_calls_per_cell": 7}
