"""What a command imports before it plays anything: start-up is mostly imports."""

import subprocess
import sys

import pytest

PLAYING = (
    *("IPython", "aiohttp", "asyncio", "datasets", "docker", "lmdb", "matplotlib", "numpy"),
    *("openai", "pandas", "ray", "rich", "sympy", "uvloop", "wandb", "codeact.experiment.runner"),
)
CONFIGURING = ("hydra", "omegaconf", "pydantic", "msgspec")


@pytest.mark.parametrize(
    ("words", "without", "status"),
    [
        (["--help"], PLAYING + CONFIGURING, 0),
        (["run", "--help"], PLAYING, 0),
        (["run", "--help", "model.prices"], PLAYING, 0),
        (["run", "--cfg", "job"], PLAYING, 0),
        (["run", "--cfg", "job", "model=openai", "model.name=m"], PLAYING, 0),
        (["run", "model=recordd"], PLAYING, 1),
        (["run", "samples=0"], PLAYING, 1),
    ],
)
def test_help_and_refusals_import_nothing_that_plays(
    words: list[str], without: tuple[str, ...], status: int
) -> None:
    program = (
        "import sys\n"
        "from codeact.cli import main\n"
        f"status = main({words!r})\n"
        f"found = [name for name in {without!r} if name in sys.modules]\n"
        "print('imported:', found, 'status:', status, file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stderr.splitlines()[-1] == f"imported: [] status: {status}"


def test_schemas_are_built_when_something_is_validated() -> None:
    program = (
        "from codeact.experiment.config.schema import RunConfig\n"
        "print(RunConfig.__pydantic_complete__)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"
