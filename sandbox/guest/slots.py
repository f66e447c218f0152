"""The places for sessions."""

from . import BUILTINS

globals()["__builtins__"] = BUILTINS


class Slot:
    """A place for one session: a number, a folder, and a uid where there are uids to give."""

    def __init__(self, number, folder, uid):
        self.number, self.folder, self.uid = number, folder, uid
        self.generation = 0
        self.pid = 0
        self.group = 0
        self.state = "free"  # free, waiting (for a host), live, dying; set by `Server.move`
        self.reason = None  # why it ends: asked, memory, processes, exit, signal
        self.code = 0
        self.told = False  # whether the host is to hear of its end
        self.last = False  # whether it is at the end of the queue for a processor
        self.next_kill = 0.0
