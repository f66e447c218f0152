"""The person as a model client: they write the policy's messages, or the user's comments."""

from collections.abc import Collection

from codeact.episode.effects import Completion
from codeact.exceptions import UserFailure
from codeact.models.base import EpisodeKey, Request, Role
from codeact.models.person.settings import PersonSettings
from codeact.models.person.terminal import ENDS, terminal


class PersonModel:
    """Asks the person at the terminal for each message; what they read is shown there already."""

    plain = False

    def __init__(self, settings: PersonSettings) -> None:
        self._terminal = terminal()

    async def check(self, episodes: Collection[EpisodeKey] = (), role: Role = "policy") -> None:
        """Whether somebody is there shows once they are asked."""

    async def complete(self, request: Request) -> Completion:
        """Return what the person writes; raises `UserFailure` when they have left.

        A comment is one line, and an empty one is none.
        """
        if request.role == "feedback":
            text = await self._terminal.ask("your comment (Enter for none)> ")
        else:
            text = await self._terminal.ask_text(f"turn {request.turn + 1}> ", *ENDS)
        if text is None:
            raise UserFailure(f"the person left in turn {request.turn + 1}", final=True)
        return Completion(text=text, author="person")

    async def close(self) -> None:
        """The terminal is not ours to close."""
