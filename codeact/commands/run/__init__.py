"""``codeact run``: play episodes of a policy on tasks, in a sandbox, and record them.

Every job of a sweep is played by this one process over one queue of episodes. A run folder that
exists is resumed: only the episodes that it lacks are played.
"""

from codeact.commands.arguments import configurations, parse
from codeact.commands.help import tell_if_asked
from codeact.experiment.config.schema import RunConfig


def main(words: list[str]) -> int:
    """Run the command; returns 0 when every episode has an outcome of the policy's own."""
    arguments = parse("run", words, sweeps=True)
    if tell_if_asked("run", __doc__ or "", arguments, RunConfig):
        return 0
    composed = configurations("run", arguments, RunConfig)
    # What plays takes a third of a second to import, and --help and a refusal do without it.
    from codeact.commands.run.playing import play_all

    return play_all(composed, sweep=arguments.multirun)
