"""A person between the policy and its actions: each message is theirs to pass, edit or end at."""

import msgspec

from codeact.episode.effects import Completion, Failure
from codeact.models.person.terminal import terminal

_PROMPT = "Enter acts on it, e edits it, q ends the episode> "


class MessageEditor:
    """Shows the person each message before it is acted on."""

    def __init__(self) -> None:
        self._terminal = terminal()

    async def edited(self, completion: Completion, turn: int) -> Completion | Failure:
        """Return the message to act on, or the end of the episode.

        `turn` counts from 0. What the model wrote is kept beside what the person made of it, and
        what it took is paid for in either case.
        """
        text = completion.text
        while True:
            writer = "written by the model" if text == completion.text else "as you edited it"
            self._terminal.show(f"turn {turn + 1}, {writer}", text)
            match await self._terminal.ask(_PROMPT):
                case None:
                    return _ended(completion, f"the person left in turn {turn + 1}")
                case "" | "c" | "y" | "go":
                    break
                case "e" | "edit":
                    changed = await self._terminal.edit(text)
                    text = text if changed is None else changed
                case "q" | "end" | "quit":
                    why = f"the person ended the episode before turn {turn + 1} was acted on"
                    return _ended(completion, why)
                case other:
                    self._terminal.say(f"{other!r} is none of Enter, e and q")
        if text == completion.text:
            return completion
        return msgspec.structs.replace(
            completion, text=text, author="person", original=completion.text
        )


def _ended(completion: Completion, why: str) -> Failure:
    return Failure("user", why, final=True, usage=completion.usage, cost=completion.cost)
