"""``codeact completion bash|zsh|fish``: print what makes a shell complete codeact's words.

Put one of these lines into the shell's start-up file:

  eval "$(codeact completion bash)"
  eval "$(codeact completion zsh)"
  codeact completion fish | source

Commands, config groups, their options and keys are completed, by Hydra's own completion.
"""

import sys
from pathlib import Path

from codeact.exceptions import CodeactError, ConfigError
from codeact.wording import nearest

_BASH = """\
_codeact() {
    local IFS=$'\\n' word=${COMP_WORDS[COMP_CWORD]}
    local line=${COMP_LINE:0:COMP_POINT}
    local found
    found=$(codeact completion query "$line" 2>/dev/null)
    COMPREPLY=($(compgen -W "$found" -- "${line##* }"))
    [[ ${COMPREPLY[0]} == *[=./] ]] && compopt -o nospace
}
COMP_WORDBREAKS=${COMP_WORDBREAKS//=/}
COMP_WORDBREAKS=${COMP_WORDBREAKS//@/}
complete -o default -F _codeact codeact
"""
_ZSH = """\
_codeact() {
    local -a found
    found=("${(@f)$(codeact completion query "${LBUFFER}" 2>/dev/null)}")
    compadd -Q -S '' -- $found
}
(( $+functions[compdef] )) || { autoload -Uz compinit && compinit }
compdef _codeact codeact
"""
_FISH = """\
complete -c codeact -f -a '(codeact completion query (commandline -cp) 2>/dev/null)'
"""
SHELLS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}


def main(words: list[str]) -> int:
    """Run the command; returns 0 when the script was printed."""
    if words[:1] in (["-h"], ["--help"]) or not words:
        sys.stdout.write((__doc__ or "").strip().replace("``", "") + "\n")
        return 0 if words else 2
    if words[0] == "query":
        sys.stdout.write("".join(f"{word}\n" for word in complete(" ".join(words[1:]))))
        return 0
    if words[0] not in SHELLS:
        raise ConfigError(f"there is no completion for {words[0]!r} ({nearest(words[0], SHELLS)})")
    sys.stdout.write(SHELLS[words[0]])
    return 0


def complete(line: str) -> list[str]:
    """Return the possible completions of a command line's last word."""
    from codeact.commands import COMMANDS

    words = line.split()[1:]
    if line.endswith(" ") or not words:
        words.append("")
    if len(words) == 1:
        return [name for name in COMMANDS if name.startswith(words[0])]
    command, given = words[0], words[1:]
    if command == "completion":
        return [shell for shell in SHELLS if shell.startswith(given[-1])]
    if command not in COMMANDS:
        return []
    try:
        return _of_hydra(command, given)
    except CodeactError:
        return []


def _of_hydra(command: str, words: list[str]) -> list[str]:
    from hydra.errors import HydraException
    from hydra.plugins.completion_plugin import DefaultCompletionPlugin
    from omegaconf.errors import OmegaConfBaseException

    from codeact.experiment.config.compose import Invocation, within_hydra

    folder, words = _without_folder(words)
    # A bare word, such as the run folder of ``codeact fork``, is no override for Hydra.
    words = [word for word in words[:-1] if "=" in word or word[:1] in "~-"] + words[-1:]
    invocation = Invocation(command, (), folder)
    with within_hydra(invocation) as hydra:
        plugin = DefaultCompletionPlugin(hydra.config_loader)
        line = " ".join([*invocation.all_overrides, *words])
        try:
            return plugin._query(invocation.name, line)
        except (HydraException, OmegaConfBaseException):
            return []  # what was typed so far cannot be composed


def _without_folder(words: list[str]) -> tuple[str | None, list[str]]:
    """Return the folder of ``--config-dir``, if it is there, and all other words."""
    for place, word in enumerate(words[:-2]):
        if word in ("--config-dir", "-cd"):
            folder = words[place + 1]
            rest = words[:place] + words[place + 2 :]
            return folder if Path(folder).is_dir() else None, rest
    return None, words
