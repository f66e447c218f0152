"""The program that runs inside the sandbox: a fork server of IPython sessions.

It is PID 1 of a container, or the first process under bubblewrap. It imports IPython and the
libraries once, forks a few children ahead of need, and cages each before it meets a host: own uid
(when the server is root), own session, own folder, resource limits, no capabilities and none to
gain, no new privileges, not dumpable, a system call deny list, nothing on stdin. A waiting child
accepts one connection and is then that connection's interpreter; it talks to the host directly, the
server is not in between.

Two sockets lie in a folder that only the server's uid may enter. The server finds its options
there, in the file ``options``, and removes it: a command line could be read by every session.

* ``control``: one connection, the owner's. Its end is the server's end, and the server's end is
  the end of every process in here. Host to guest: ``{"kill": slot, "generation": n}``, and
  ``{"ping": n}``. Guest to host: ``{"ready": …}`` once, ``{"pong": n}``, and
  ``{"gone": slot, "generation": n, "reason": …, "code": n}`` when a session's processes are dead,
  its files wiped and its slot free.
* ``sessions``: each connection is one session. Frames both ways are a big-endian length of four
  bytes and JSON. The child greets with its slot; then the host asks ``start``, ``execute`` or
  ``evaluate`` and gets one answer with the same id. While the child is busy it may ask back, one
  call at a time: ``{"call": tool, "id": n, "args": […], "kwargs": {…}}``. Anything else that comes
  from a child has the host end it: what that costs the host is bounded in ``session.py``.

A host that cannot reach the sockets, because the engine is on another machine, has this file run
once more in the container, with ``--relay``: see `Relay`.

Covered: code that never ends, ends its interpreter, forks, threads, allocates, fills its disk,
prints without end, signals whatever it can see, forges answers, or leaves threads and processes
behind; other sessions' files, memory and environment; the network (the container has none).
Soft time limits are here (SIGALRM): a cell that met its own is ``timeout``, whatever caught the
exception. The hard limit is the host's, by way of ``kill``, and so is the clock. A watch sums
the memory of each session and ends one that is over its limit; it also counts processes, for
kernels that do not. A session whose processes or files cannot be got rid of keeps its slot
until they can; others go on.

Not covered: a fault in the kernel; what a session does to itself (its own answers are its own
words); names and arguments of other sessions' processes, visible in /proc; loopback and abstract
unix sockets, by which two sessions could talk when both mean to; CPU time, which sessions share
(those that keep many processes busy are put at the end of the queue). Without root there is one
uid for all sessions; under bubblewrap each then gets user, process and mount namespaces of its own
instead, and without bubblewrap (`allow_unisolated`) nothing is promised.

What the kernel holds for a session is part of what the watch sums, as far as the kernel tells:
what is in sockets (asked over netlink), and 8 kB for each open descriptor. Buffers of sockets keep
their default size (about 0.2 MB), unix sockets are streams, and calls that pin pages (vmsplice and
its kin) are refused. Open remains, for each session: 64 MB in pipes (the kernel's own share of a
user), what it fills between two looks (0.1 s apart, 1 s at most), and what no process is charged
for, such as mappings and file locks. Where the kernel does not tell of sockets (no `sock_diag`, as
in gVisor), a process has fewer descriptors, so that all its session's sockets hold about its memory
limit once more. Before Linux 6.2 descriptors are not counted: a session's pipes can hold another
8 kB for each of `files` times `processes`. All sessions together are bounded by the container's
memory, or by the local server's control group; where there is neither, only by what stands here,
times the number of sessions.

The modules, each of which knows only those before it: `frames` (what goes over a socket), `cage`
(what a session may do), `processes` and `folders` (what the server sees and removes), `sockets` (what
the kernel holds in them), `output`, `cells` and `session` (one interpreter), `shell` (the IPython that
all of them inherit), `child` (how a fork becomes a session), `watch` and `server`, `relay`, `options`.

The folder is the program: ``python -sP guest SOCKETS``. `__main__` imports the package and then takes
it out of `sys.modules` and `sys.path`, so that no cell's ``import session`` finds ours.
"""
# It must start quickly, on plain calls of `os`; and it lives on broad excepts.

import builtins

BUILTINS = dict(vars(builtins))
"""What every module here uses for its builtins: a cell that spoils the real ones spoils itself."""
