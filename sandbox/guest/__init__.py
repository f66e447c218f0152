"""The program that runs inside the sandbox: a fork server of IPython sessions.

It is PID 1 of a container, or the first process under bubblewrap. It imports IPython and the
libraries once and forks a few children in advance. Each child cages itself before it meets a host:
its own uid (when the server is root), process session and folder, resource limits, no capabilities
and no way to gain any, no new privileges, not dumpable, a filter of system calls, nothing on stdin.
A waiting child accepts one connection and is then the interpreter of that connection. It talks to
the host directly; the server is not in between.

Two sockets are in a folder that only the server's uid may enter. The server reads its options from
the file ``options`` there and removes it: every session could read a command line. Where the owner
has left the file ``early``, the server imports the libraries that it lists while it waits for them.

* ``control``: one connection, the owner's. When it ends, the server ends, and with the server every
  process in here. Host to guest: ``{"kill": slot, "generation": n}`` and ``{"ping": n}``. Guest to
  host: ``{"ready": […], "run_cell": canary}`` once, with the libraries that are loaded and the
  canary that failed (see `canaries`); ``{"pong": n}``, and
  ``{"gone": slot, "generation": n, "reason": …, "code": n}`` when a session's processes are dead,
  its files wiped and its slot free.
* ``sessions``: each connection is one session. A frame is a big-endian length of four bytes and
  JSON, both ways. The child greets with its slot. Then the host sends ``start``, ``execute`` or
  ``evaluate``, and gets one answer with the same id. While the child is busy it may call the host's
  tools, one at a time: ``{"call": tool, "id": n, "args": […], "kwargs": {…}}``. If a child sends
  anything else, the host ends it; the host's ``session.py`` says what that can cost.

When the host cannot reach the sockets, because the engine is on another machine, it runs this
program once more in the container, with ``--relay``: see `relay`.

What this guards against: code that never ends, ends its interpreter, forks, starts threads,
allocates, fills its disk, prints without end, sends signals, forges answers, or leaves threads and
processes behind. It keeps sessions from each other's files, memory and environment, and from the
network (the container has none). Soft time limits are in here (SIGALRM): a cell that met its limit
is ``timeout``, whatever caught the exception. The hard limit and the clock are the host's, through
``kill``. A watch sums the memory of each session and ends one that is over its limit. It also
counts processes, for kernels that do not. A session keeps its slot until its processes are dead and
its files are gone; other sessions go on.

What it does not guard against: a fault in the kernel; what a session does to itself (it can forge
its own answers); names and arguments of other sessions' processes, visible in /proc; two sessions
that both want to talk, over loopback or abstract unix sockets; use of the CPU, which sessions share
(those with many processes get the lowest priority). Without root all sessions have one uid. Under
bubblewrap each then gets its own user, process and mount namespaces instead; without bubblewrap
(`allow_unisolated`) there is no isolation.

The watch includes the memory that the kernel holds for a session, where the kernel tells: sockets
(over netlink), and 8 kB for each open descriptor. Socket buffers keep their default size (about
0.2 MB), unix sockets are streams, and calls that pin pages (vmsplice and its kin) are refused. Not
bounded for each session: 64 MB in pipes (the kernel's own share of a user), what it fills between
two looks (0.1 s apart, 1 s at most), and what is charged to no process, such as mappings and file
locks. Where the kernel does not tell of sockets (gVisor has no `sock_diag`), a process gets fewer
descriptors, so that all sockets of a session hold at most about its memory limit once more. Before
Linux 6.2 descriptors are not counted: the pipes of a session can hold another 8 kB for each of
`files` times `processes`. All sessions together are bounded by the memory of the container or of
the local server's control group. Where there is neither, the bound is the above times the number of
sessions.

The modules, from the bottom up:

* `signals`, `frames` (what goes over a socket), `options` (what the owner asks for);
* `cage` (limits, system calls, capabilities, namespaces), `processes` and `sockets` (what the
  kernel says about a session), `folders` (wiping), `slots`;
* `output`, `canaries`, `cells` and `session` (one interpreter), `shell` (the IPython that all of
  them inherit);
* `child` (how a fork becomes a session), `watch` (who uses how much), `server`; and `relay`.

`child` and `watch` are apart from `server` because they run or can be read without it: the first
runs in the fork only, the second only looks. `canaries` is apart
from `cells` because it is the list to read when a new IPython comes.

The folder is the program: ``python -sP guest SOCKETS``. `__main__` imports the package and then
removes it from `sys.modules` and `sys.path`. A cell that says ``import session`` or
``import guest`` does not find ours.
"""

import builtins

BUILTINS = dict(vars(builtins))
"""The builtins of every module here: a cell that spoils the real ones spoils only itself."""
