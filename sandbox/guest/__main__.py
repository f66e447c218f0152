"""The program: ``python -sP guest SOCKETS`` is the server, with ``--relay`` before it the relay."""

import os
import sys


def main() -> None:
    """Run the server or the relay, and end the process."""
    folder = sys.path.pop(0)
    sys.path.insert(0, os.path.dirname(folder))
    relay = sys.argv[1] == "--relay"
    if relay:
        from guest.relay import Relay
    else:
        from guest.options import read_early, read_options
        from guest.server import Server
        from guest.shell import import_libraries
    # From here on nobody finds our modules by name: a cell's imports are its own.
    del sys.path[0]
    for name in [name for name in sys.modules if name.partition(".")[0] == "guest"]:
        del sys.modules[name]
    if relay:
        Relay(sys.argv[2]).run()
    else:
        import_libraries(read_early(sys.argv[1]))
        Server(read_options(sys.argv[1])).run()
    os._exit(0)


if __name__ == "__main__":
    main()
