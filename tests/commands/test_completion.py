"""Shell completion, as each shell itself performs it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from codeact.commands.completion import complete
from tests.helpers.commands import codeact


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("codeact va", ["validate"]),
        ("codeact completion f", ["fish"]),
        ("codeact run turns=max3", ["turns=max3_p1", "turns=max3_p2"]),
        ("codeact run turns.max_s", ["turns.max_steps="]),
        ("codeact run model=openai model.sampling.temp", ["model.sampling.temperature="]),
        ("codeact run grading=strict sea", ["search.", "search="]),
        ("codeact fork runs/first model=pe", ["model=person"]),
        ("codeact nothing ", []),
        ("codeact run model=nonsense model.", []),
    ],
)
def test_what_a_word_may_become(line: str, found: list[str]) -> None:
    assert complete(line) == found


def test_a_users_folder_is_completed_too(tmp_path: Path) -> None:
    (tmp_path / "turns").mkdir()
    (tmp_path / "turns" / "mine.yaml").write_text("max_steps: 1\nmax_propose_solution: 1\n")
    assert complete(f"codeact run --config-dir {tmp_path} turns=mi") == ["turns=mine"]


SHELLS = {
    "bash": (
        "COMP_LINE='codeact run turns=max3'; COMP_POINT=${#COMP_LINE}; COMP_CWORD=2; "
        "COMP_WORDS=(codeact run turns=max3); _codeact; printf '%s\\n' \"${COMPREPLY[@]}\""
    ),
    "zsh": (
        "compadd() { print -l -- ${@[$(( ${@[(i)--]} + 1 )),-1]}; }; "
        "LBUFFER='codeact run turns=max3'; _codeact"
    ),
    "fish": "complete -C 'codeact run turns=max3'",
}


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_completes_by_our_script(shell: str, tmp_path: Path) -> None:
    if not shutil.which(shell):
        pytest.skip(f"there is no {shell} here")
    script = codeact("completion", shell).stdout
    (tmp_path / "script").write_text(f"{script}\n{SHELLS[shell]}\n")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [shell, str(tmp_path / "script")],
        env={**os.environ, "PATH": path, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stdout.split() == ["turns=max3_p1", "turns=max3_p2"], done.stderr


def test_an_unknown_shell_is_refused() -> None:
    done = codeact("completion", "basch")
    assert done.returncode == 1
    assert "did you mean 'bash'?" in done.stderr
