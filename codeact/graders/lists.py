"""Tells a list of candidates (``London, Paris, Rome``) from one answer with a description.

``Wilmette, Illinois`` names one place, ``Ann Lee, a painter`` one person. What is neither the state
or country of a place nor a description begins another item.
"""

import re
from collections.abc import Callable

from codeact.graders.places import PLACES

_SEPARATORS = re.compile(
    r"[,;|•&+→(]|->|(?:(?<=\s)|^)\d{1,2}[.)](?=\s)|/(?!\d)|\n[-*]?"
    r"|\b(?:and|or|then|plus|nor|vs\.?|versus|as well as|along with)\b(?!-)",
    re.IGNORECASE,
)
_DESCRIBES = frozenset({
    "a", "an", "the", "who", "whom", "whose", "which", "where", "when", "that", "in", "of",
    "from", "on", "at", "by", "with", "because", "since", "as", "for", "to", "also", "born",
    "known", "formerly", "now", "later", "based", "located", "founded", "is", "was", "are",
    "were", "both", "using", "after", "before", "during", "not", "so", "making", "including",
    "part", "near", "it", "he", "she", "they", "his", "her", "its", "their",
})  # fmt: skip
_LEADS_IN = _DESCRIBES | {
    "according", "thus", "therefore", "hence", "yes", "no", "so", "however", "answer",
}  # fmt: skip
_MONTHS = frozenset({
    "january", "february", "march", "april", "may", "june", "july", "august", "september",
    "october", "november", "december",
})  # fmt: skip
_SOFT = ("\0,", "\0(")
_ARTICLES = frozenset({"a", "an", "the"})
_LONGEST_NAME = 6


def listed(text: str, wanted: list[str], normalise: Callable[[str], list[str]]) -> bool:
    """Whether a text offers other items beside the wanted words."""
    words = [(word, normalise(word)) for word in _marked(text).split()]
    plain = [(part, index) for index, (_, parts) in enumerate(words) for part in parts]
    size = len(wanted)
    for start in range(len(plain) - size + 1):
        if [part for part, _ in plain[start : start + size]] == wanted:
            begin, end = plain[start][1], plain[start + size - 1][1] + 1
            before = [word for word, _ in words[:begin]]
            while before and before[-1].lower() in _ARTICLES:
                before.pop()
            after = [word for word, _ in words[end:]]
            cased = any(c.isupper() for word, _ in words[begin:end] for c in word)
            return _item_before(before) or _item_after(after, wanted, cased=cased)
    return False


def _marked(text: str) -> str:
    """Set every separator apart: a comma stays one, the others become words of their own."""
    return _SEPARATORS.sub(lambda found: f" \0{found.group().strip().lower()} ", text)


def _item_before(before: list[str]) -> bool:
    if not before or not before[-1].startswith("\0"):
        return False
    if before[-1] not in _SOFT:
        return True
    item: list[str] = []
    for word in reversed(before[:-1]):
        if word.startswith("\0"):
            break
        item.insert(0, word)
    first = item[0].lower().strip("\"'(.") if item else ""
    short = 0 < len(item) <= _LONGEST_NAME
    return short and first not in _LEADS_IN and first not in _MONTHS


def _item_after(after: list[str], wanted: list[str], *, cased: bool) -> bool:
    if not after or not after[0].startswith("\0"):
        return False
    items: list[list[str]] = []
    for word in after:
        if word.startswith("\0"):
            items.append([word])
        else:
            items[-1].append(word)
    place = " ".join(wanted) in PLACES
    for separator, *words in items:
        text = " ".join(words).strip("\"'().!*_ ")
        if not text:
            continue
        if separator == "\0(":
            return False
        if separator != "\0,":
            return True
        if not place and text.lower().replace(".", "") in PLACES:
            continue
        described = text.split()[0].lower() in _DESCRIBES
        return not described and not (cased and text[0].islower())
    return False
