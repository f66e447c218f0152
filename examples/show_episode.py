"""Prints the conversation of one recorded episode: ``python examples/show_episode.py RUN ID``.

RUN is a run folder, and ID the beginning of an episode's id, such as ``math/3/``. The first
message, with the instruction and the in-context example, is shown only from its task on.
"""

import sys
from pathlib import Path

from codeact.recordings.run_folder import latest_records


def main(run: str, wanted: str) -> int:
    """Print the first episode whose id begins with `wanted`; 1 if there is none."""
    for record in latest_records(Path(run)):
        if record.id.startswith(wanted):
            first, *rest = (message["content"].strip() for message in record.messages)
            print("\n\n".join([first.rpartition("\n---\n\n")[2], *rest]))
            print(f"\n{record.outcome.terminate_reason} after {len(record.turns)} turns")
            return 0
    print(f"{run}: no episode has an id that begins with {wanted!r}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
