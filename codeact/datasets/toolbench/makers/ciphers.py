"""Tasks with messages in ciphers."""

from collections.abc import Mapping, Sequence
from typing import Any

from codeact.datasets.toolbench.domains.ciphers import MORSE, Ciphers
from codeact.datasets.toolbench.drawing import Draws
from codeact.datasets.toolbench.makers.base import CallLog, DomainMaker, Draft, Unsuitable, only

_SENDERS = ("Ines", "Jonas", "Kira", "Leon", "Mara", "Nils")
_CIPHERS = ("none", "shift", "shift", "mirror", "morse")
_LISTED = """\
AMBER ANVIL APRON BADGE BASIN BEACON BIRCH BRIDGE BUTTON CABIN CANDLE CANYON CARPET CEDAR
CLOVER COPPER CORAL COTTON CRANE DAGGER DAISY DRAGON EAGLE EMBER FALCON FERRY FLUTE FOREST
GARLIC GINGER GRAVEL HAMMER HARBOR HAZEL HELMET INDIGO ISLAND IVORY JACKET JASPER JUNGLE KETTLE
LADDER LANTERN LEMON LINEN LOTUS MAGNET MAPLE MARBLE MEADOW MIRROR NEEDLE NUTMEG OCEAN OLIVE
ORCHID OTTER PADDLE PEBBLE PEPPER PILLOW PLANET QUARTZ RABBIT RIBBON RIVER SADDLE SALMON SCARF
SHADOW SILVER SPARROW SPRUCE STABLE SUMMIT TEMPLE THISTLE TIMBER TULIP TUNNEL VALLEY VELVET
VIOLIN WALNUT WILLOW WINDOW WINTER ZEPHYR"""
_WORDS = tuple(_LISTED.split())
_FORM = (
    'The text of each message, once decoded, is "THE WORD IS" and a secret word in capital letters.'
)
_DECODE = """\
def decoded(key):
    message = read_message(key)
    text = message["text"]
    if message["cipher"] == "shift":
        return shift_back(text, get_key(message["key_name"]))
    if message["cipher"] == "mirror":
        return reverse_text(text)
    return decode_morse(text) if message["cipher"] == "morse" else text

"""


def _data(draws: Draws) -> dict[str, Any]:
    keys = {name: draws.whole(1, 25) for name in ("anchor", "barrel", "comet", "dune", "echo")}
    secret = draws.shuffled(_WORDS)
    messages = []
    for number, sender in enumerate(_of_senders(draws), 201):
        cipher = draws.one(_CIPHERS)
        name = draws.one(tuple(keys)) if cipher == "shift" else ""
        text = _enciphered(f"THE WORD IS {secret.pop()}", cipher, keys.get(name, 0))
        messages.append(
            {
                "id": f"M{number}",
                "sender": sender,
                "cipher": cipher,
                "key_name": name,
                "text": text,
            }
        )
    return {"messages": messages, "keys": keys}


def _of_senders(draws: Draws) -> list[str]:
    return draws.shuffled([one for one in _SENDERS for _ in range(draws.whole(2, 8))])


def _enciphered(text: str, cipher: str, places: int) -> str:
    if cipher == "shift":
        return "".join(
            chr((ord(one) - ord("A") + places) % 26 + ord("A")) if one.isalpha() else one
            for one in text
        )
    if cipher == "morse":
        return " / ".join(" ".join(MORSE[one] for one in word) for word in text.split())
    return text[::-1] if cipher == "mirror" else text


def _decoded(call: CallLog, key: str) -> str:
    """Read a message and decode it; returns its secret word."""
    message = call("read_message", message_id=key)
    text = message["text"]
    match message["cipher"]:
        case "shift":
            places = call("get_key", key_name=message["key_name"])
            text = call("shift_back", text=text, places=places)
        case "mirror":
            text = call("reverse_text", text=text)
        case "morse":
            text = call("decode_morse", text=text)
    return str(text.split()[-1])


def _plain_word(draws: Draws, call: CallLog, data: Mapping[str, Any]) -> Draft:
    key = draws.one([one["id"] for one in data["messages"] if one["cipher"] == "none"])
    return Draft(
        f"Message {key} is in no cipher. {_FORM} Answer with the secret word of this message.",
        _decoded(call, key),
        "text",
        f'print(read_message("{key}")["text"].split()[-1])',
    )


def _last_message(draws: Draws, call: CallLog, data: Mapping[str, Any]) -> Draft:
    sender = draws.one(_SENDERS)
    return Draft(
        f"Which message was the last one that {sender} sent? Answer with its id.",
        call("list_messages", sender=sender)[-1],
        "text",
        f'print(list_messages("{sender}")[-1])',
    )


def _secret_word(draws: Draws, call: CallLog, data: Mapping[str, Any]) -> Draft:
    key = draws.one([one["id"] for one in data["messages"] if one["cipher"] != "none"])
    return Draft(
        f"Message {key} is in a cipher. {_FORM} Answer with the secret word of this message.",
        _decoded(call, key),
        "text",
        f'{_DECODE}print(decoded("{key}").split()[-1])',
    )


def _word_of_the_last(draws: Draws, call: CallLog, data: Mapping[str, Any]) -> Draft:
    sender = draws.one(_SENDERS)
    key = call("list_messages", sender=sender)[-1]
    return Draft(
        f"{_FORM} Answer with the secret word of the last message that {sender} sent.",
        _decoded(call, key),
        "text",
        f'{_DECODE}print(decoded(list_messages("{sender}")[-1]).split()[-1])',
    )


def _listed(call: CallLog, senders: Sequence[str]) -> list[str]:
    return [key for sender in senders for key in call("list_messages", sender=sender)]


def _words_of_a_sender(draws: Draws, call: CallLog, data: Mapping[str, Any]) -> Draft:
    sender = draws.one(_SENDERS)
    found = [_decoded(call, key) for key in _listed(call, [sender])]
    if len(found) < 2:
        raise Unsuitable
    return Draft(
        f"{_FORM} Answer with the secret words of all messages of {sender}, in the order in "
        "which they were sent, separated by commas.",
        found,
        "list",
        f"""{_DECODE}\
found = [decoded(key).split()[-1] for key in list_messages("{sender}")]
print(", ".join(found))""",
    )


def _first_of_the_alphabet(draws: Draws, call: CallLog, data: Mapping[str, Any]) -> Draft:
    sender = draws.one(_SENDERS)
    found = {key: _decoded(call, key) for key in _listed(call, [sender])}
    if len(found) < 2:
        raise Unsuitable
    first = min(found.values())
    return Draft(
        f"{_FORM} Which message of {sender} has the secret word that comes first in the "
        "alphabet? Answer with its id.",
        only([key for key, word in found.items() if word == first]),
        "text",
        f"""{_DECODE}\
found = {{decoded(key).split()[-1]: key for key in list_messages("{sender}")}}
print(found[min(found)])""",
    )


def _initials(draws: Draws, call: CallLog, data: Mapping[str, Any]) -> Draft:
    senders = draws.some(_SENDERS, 2)
    found = [_decoded(call, key) for key in _listed(call, senders)]
    return Draft(
        f"{_FORM} Take the messages of {senders[0]} in the order in which they were sent, then "
        f"those of {senders[1]} likewise. Answer with the first letters of their secret words, "
        "written together in this order in capital letters.",
        "".join(word[0] for word in found),
        "text",
        f"""{_DECODE}\
letters = ""
for sender in {senders!r}:
    for key in list_messages(sender):
        letters += decoded(key).split()[-1][0]
print(letters)""",
    )


def _letters_in_all(draws: Draws, call: CallLog, data: Mapping[str, Any]) -> Draft:
    senders = draws.some(_SENDERS, 2)
    found = [_decoded(call, key) for key in _listed(call, senders)]
    return Draft(
        f"{_FORM} How many letters do the secret words of all messages of {senders[0]} and "
        f"{senders[1]} have together? Answer with a whole number.",
        sum(len(word) for word in found),
        "integer",
        f"""{_DECODE}\
total = 0
for sender in {senders!r}:
    for key in list_messages(sender):
        total += len(decoded(key).split()[-1])
print(total)""",
    )


MAKER = DomainMaker(
    "You read an inbox whose messages may be in ciphers. The tools list and read them, look up "
    "keys, and undo each cipher.",
    Ciphers,
    _data,
    {
        "single": (_plain_word, _last_message),
        "few": (_secret_word, _word_of_the_last),
        "several": (_words_of_a_sender, _first_of_the_alphabet),
        "loop": (_initials, _letters_in_all),
    },
)
