"""Takes the accents off letters, in time that grows with the text and not faster."""

import unicodedata

_MOST = 4
"""The most characters that one may become; U+FDFA would become eighteen."""


class _Folds(dict[int, str]):
    """What each character becomes; filled as characters are met."""

    def __missing__(self, code: int) -> str:
        parts = unicodedata.normalize("NFKD", chr(code))
        if len(parts) > _MOST:
            parts = chr(code)
        folded = "".join(part for part in parts if unicodedata.category(part) != "Mn")
        if len(self) < 100_000:
            self[code] = folded
        return folded


_FOLDS = _Folds()


def without_marks(text: str) -> str:
    """Decompose a text's characters (NFKD) and leave out the combining marks.

    One character at a time: to decompose a text as a whole takes quadratic time where very many
    marks follow one another, since it sorts them.
    """
    return text if text.isascii() else text.translate(_FOLDS)
