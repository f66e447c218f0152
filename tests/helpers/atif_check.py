"""Run by an interpreter with harbor (Python 3.12): are these files trajectories by its models?

    python atif_check.py FOLDER

Prints the number of files that are, and stops at the first that is none.
"""

import sys
from pathlib import Path

from harbor.models.trajectories import Trajectory


def main(folder: str) -> None:
    """Validate every file, and compare what the models write with what they read."""
    found = 0
    for path in sorted(Path(folder).glob("*.json")):
        trajectory = Trajectory.model_validate_json(path.read_bytes())
        again = Trajectory.model_validate(trajectory.to_json_dict())
        if again != trajectory:
            sys.exit(f"{path}: is another trajectory once it is written again")
        found += 1
    sys.stdout.write(f"{found}\n")


if __name__ == "__main__":
    main(sys.argv[1])
