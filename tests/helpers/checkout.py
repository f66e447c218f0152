"""A copy of the working tree, in which the commands of documents run as they are written."""

import os
import subprocess
import sys
from contextlib import chdir
from pathlib import Path
from shutil import copy2

from tests.helpers.commands import codeact
from tests.helpers.documents import ROOT, Command

BIN = Path(sys.executable).parent


class Checkout:
    """Its folder holds what git tracks or would; what commands leave that git ignores is fine."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.packages = folder.with_name(f"{folder.name}-packages")
        listed = git(ROOT, "ls-files", "--cached", "--others", "--exclude-standard", "-z")
        for name in filter(None, listed.split("\0")):
            if (source := ROOT / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                copy2(source, folder / name)
        git(folder, "init", "--quiet")
        git(folder, "add", "--all")

    def run(self, command: Command, *changes: str) -> "subprocess.CompletedProcess[str]":
        """Run a command, with more words at its end, and return how it ended."""
        name, *words = [word.removeprefix(".venv/bin/") for word in [*command.words, *changes]]
        if name == "codeact" and not self.packages.exists():
            with chdir(self.folder):
                return codeact(*words)
        if name == "uv":
            return self._install(words)
        found = BIN / name
        env = {**os.environ, "PYTHONPATH": str(self.packages)}
        env["PATH"] = f"{BIN}{os.pathsep}{env['PATH']}"
        return subprocess.run(
            [str(found if found.exists() else name), *words],
            cwd=self.folder,
            env=env,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )

    def _install(self, words: list[str]) -> "subprocess.CompletedProcess[str]":
        """Install into a folder of this checkout's own in place of the environment."""
        at = words.index("--python")
        words[at : at + 2] = ["--quiet", "--target", str(self.packages)]
        for offline in (
            ["--offline"],
            [],
        ):  # The build backend is cached since codeact's own install.
            done = subprocess.run(
                [str(BIN / "uv"), *words, *offline],
                cwd=self.folder,
                capture_output=True,
                text=True,
                check=False,
                timeout=120,
            )
            if done.returncode == 0:
                break
        return done

    def stray(self) -> list[str]:
        """Return the files that commands have left and git does not ignore."""
        listed = git(self.folder, "ls-files", "--others", "--exclude-standard")
        return listed.splitlines()


def git(folder: Path, *words: str) -> str:
    """Run git in a folder and return its output."""
    done = subprocess.run(
        ["git", "-C", str(folder), *words], capture_output=True, text=True, check=True
    )
    return done.stdout
