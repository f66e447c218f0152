"""Where a request says that its prefix is to be cached.

The API looks a prefix up at each breakpoint, and a limited number of blocks before it, and writes
the prefix of each that it did not find. At most four are admitted.
"""

from collections.abc import Sequence

from codeact.episode.messages import JSON

_CACHEABLE = ("text", "tool_use", "tool_result")


def set_breakpoints(
    lifetime: str, tools: Sequence[JSON], system: Sequence[JSON], messages: Sequence[JSON]
) -> None:
    """Set breakpoints after tools, system, the request before this one, and this one.

    The first two are shared by all episodes. The third finds what the last request of the episode
    has written, however many calls the model made since. `lifetime` is ``5m`` or ``1h``.
    """
    control = {"type": "ephemeral"} if lifetime == "5m" else {"type": "ephemeral", "ttl": lifetime}
    ends = [*tools[-1:], *system[-1:]]
    users = [one for one in messages if one["role"] == "user"]
    for message in (*users[-2:-1], *messages[-1:]):
        cacheable = [block for block in message["content"] if block["type"] in _CACHEABLE]
        ends += cacheable[-1:]
    for block in ends:
        block["cache_control"] = control
