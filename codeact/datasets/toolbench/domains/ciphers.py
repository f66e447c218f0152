"""Messages in ciphers: an inbox, a book of keys, and what undoes each cipher."""

from typing import Any

from codeact.datasets.toolbench.domains.base import Domain, entry, words

_SIGNS = """\
.- -... -.-. -.. . ..-. --. .... .. .--- -.- .-.. -- -. --- .--. --.- .-. ... - ..- ...- .-- -..-
-.-- --.."""
MORSE = dict(zip("ABCDEFGHIJKLMNOPQRSTUVWXYZ", _SIGNS.split(), strict=True))
_LETTERS = {signs: letter for letter, signs in MORSE.items()}


class Ciphers(Domain):
    """The inbox of one episode."""

    def __init__(self, data: dict[str, Any]) -> None:
        super().__init__(data)
        self._messages = {one["id"]: dict(one) for one in data["messages"]}
        self._keys = dict(data["keys"])

    def list_messages(self, sender: str) -> list[str]:
        """Return the ids of all messages of a sender, in the order in which they were sent."""
        entry({one["sender"]: None for one in self._messages.values()}, sender, "sender")
        return [key for key, one in self._messages.items() if one["sender"] == sender]

    def read_message(self, message_id: str) -> dict[str, str]:
        """Return a message: its id, sender, cipher, key_name and text.

        The cipher is "none", "shift", "mirror" or "morse". Only a shift has a key_name.
        """
        return dict(entry(self._messages, message_id, "message"))

    def get_key(self, key_name: str) -> int:
        """Return the number that a key stands for: by how much a shift moved each letter on."""
        return int(entry(self._keys, key_name, "key"))

    def shift_back(self, text: str, places: int) -> str:
        """Undo a shift: move each letter so many places back in the alphabet, A coming after B."""
        if not isinstance(places, int):
            raise ValueError(f"places must be a whole number, but is {places!r}")  # noqa: TRY004
        return "".join(_moved(letter, -places) for letter in words(text, "text"))

    def reverse_text(self, text: str) -> str:
        """Undo a mirror: return a text from its last letter to its first."""
        return words(text, "text")[::-1]

    def decode_morse(self, text: str) -> str:
        """Decode Morse signs; a blank stands between letters, " / " between words."""
        decoded = [
            "".join(_LETTERS.get(signs, "?") for signs in word.split())
            for word in words(text, "text").split("/")
        ]
        return " ".join(decoded)


def _moved(letter: str, places: int) -> str:
    if not "A" <= letter <= "Z":
        return letter
    return chr((ord(letter) - ord("A") + places) % 26 + ord("A"))
