"""Shows an episode to the person who takes part in it, turn by turn as it is played."""

from typing import Literal

from codeact.episode.effects import Grade
from codeact.episode.machine import Episode
from codeact.episode.messages import as_text
from codeact.models.person.terminal import terminal

Part = Literal["policy", "user", "editor"]
"""What the person is in the episode: who acts, who comments, or who reads each message first."""


class EpisodeView:
    """What happens in the one episode that is played, as far as the person has not seen it.

    The policy reads all that a model reads. The user sees messages and observations before they
    comment on them, and the editor is shown each message by `MessageEditor`.
    """

    def __init__(self, part: Part) -> None:
        self._part = part
        self._terminal = terminal()
        self._episode: Episode | None = None
        self._messages = 0
        self._observed = 0

    @property
    def left(self) -> bool:
        """Whether the person has left, so that no more episodes are played."""
        return self._terminal.left

    def show(self, episode: Episode) -> None:
        """Show what is new since the last time."""
        if episode is not self._episode:
            self._episode, self._messages, self._observed = episode, len(episode.opening), 0
            opening = "\n".join(message["content"] for message in episode.opening)
            text = opening if self._part == "policy" else episode.task.prompt
            self._terminal.show(episode.task.key, text.strip("\n"))
        while self._messages < len(episode.messages):
            message = episode.messages[self._messages]
            self._messages += 1
            text = as_text(message).strip("\n")
            if message["role"] == "assistant":
                self._show_message(episode, text)
            elif self._part != "user":
                self._terminal.show("environment", text)
        if self._part == "user":
            self._show_observation(episode)
        if (outcome := episode.outcome) is not None:
            turns = "1 turn" if len(episode.turns) == 1 else f"{len(episode.turns)} turns"
            why = f": {outcome.error}" if outcome.error else ""
            self._terminal.say(f"{outcome.terminate_reason} after {turns}{why}\n")

    def _show_message(self, episode: Episode, text: str) -> None:
        turn = episode.turns[-1]
        if self._part == "user" or turn.restored:
            restored = ", restored" if turn.restored else ""
            self._terminal.show(f"turn {len(episode.turns)}{restored}", text)

    def _show_observation(self, episode: Episode) -> None:
        """Show what the cell gave, before the comment that may follow."""
        turn = episode.turns[-1] if self._observed < len(episode.turns) else None
        if turn is None or isinstance(episode.pending, Grade):
            return
        if turn.observation or turn.correct:
            self._observed = len(episode.turns)
            if turn.correct is None:
                self._terminal.show("observation", turn.observation)
