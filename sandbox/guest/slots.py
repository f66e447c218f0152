"""The places for sessions."""

from typing import Literal

from . import BUILTINS

globals()["__builtins__"] = BUILTINS

State = Literal["free", "waiting", "live", "dying"]
Reason = Literal["asked", "memory", "processes", "exit", "signal"]


class Slot:
    """A place for one session: a number, a folder, and a uid where there are uids to give."""

    def __init__(self, number: int, folder: str, uid: int | None) -> None:
        self.number, self.folder, self.uid = number, folder, uid
        self.generation = 0
        self.pid = 0
        self.group = 0
        self.inherited = 0  # pages that were resident in the server when it forked the child
        self.state: State = "free"  # set by `Server.move`; who is waiting, is so for a host
        self.reason: Reason | None = None  # why it ends
        self.code = 0
        self.told = False  # whether the host is to hear of its end
        self.last = False  # whether it is at the end of the queue for a processor
        self.next_kill = 0.0
