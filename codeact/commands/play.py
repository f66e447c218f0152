"""``codeact play task=OPTION``: a person is the policy.

You see what a model would see, and write its messages: Python between ``<execute>`` and
``</execute>`` runs in the sandbox, and an answer between ``<solution>`` and ``</solution>`` is
graded. A message ends with its closing tag, or else with an empty line. Ctrl-D ends the episode and
the command. What you did is recorded like any run; input from a pipe works too.
"""

from codeact.commands.arguments import configurations, parse
from codeact.commands.help import tell_if_asked
from codeact.experiment.config.schema import RunConfig


def main(words: list[str]) -> int:
    """Run the command; returns 0 when all was played, or the person left."""
    arguments = parse("play", words)
    if tell_if_asked("play", __doc__ or "", arguments, RunConfig):
        return 0
    composed = configurations("play", arguments, RunConfig)
    from codeact.commands.run.playing import play_all

    return play_all(composed, sweep=False)
