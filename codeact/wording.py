"""Words that messages share."""

import difflib
import re
from collections.abc import Iterable, Mapping

# Each word is scanned once: model output may be a megabyte without a space.
_ASSIGNED = re.compile(
    r"(?i)(?<![\w-])(?P<name>[\w-]*?(?:key|token|secret|password|passwd|passphrase|authorization))"
    r"(?P<sep>[\"']?\s{0,8}[=:](?!=)\s{0,8})"
    r"(?:(?P<quote>[\"'])(?P<quoted>(?:(?!(?P=quote))[^\n]){1,4096})"
    r"|(?P<bare>(?:(?:bearer|basic)\s+)?[^\s,}\"']+))"
)
_OVERRIDE = re.compile(r"[+~]{0,2}[A-Za-z_]\w*(?:[.@/]\w+)+=(?=\S)")
"""How a word of our command lines begins: in it, any name of a secret has one."""
_ALWAYS = re.compile(
    r"(?i).*(?:(?:api|access|secret|private|auth|client|refresh|session|signing|encryption)[_-]?"
    r"(?:key|token|secret)|password|passwd|passphrase|secret|authorization)"
)
_VARIABLE = re.compile(r"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+")
_NAME_OF_A_SECRET = re.compile(
    r"(?i)(?:key|token|secret|password|authorization)s?$",
)
_CONSTANT = re.compile(r"(?i)(?:lambda|none|null|true|false)(?![\w-])")
_EXPRESSION = re.compile(
    # Brackets, a call, an element, an attribute, or the type in an annotation.
    r"[({\[<*]|\$\{?\w+$|[A-Za-z_]\w*[(\[]|[A-Za-z_]+(?:\.[A-Za-z_]+)+(?![\w-])|(?:str|int|bytes|Any|Optional)(?!\w)"
)
_RANDOM = re.compile(r"[A-Za-z0-9+]{16,}")
_BEARER = re.compile(r"(?i)(?<!\w)(bearer\s{1,8})[\w.~+/=-]{16,}")
_CREDENTIALS = re.compile(r"(://)[^/\s@]+@")
_KEYS = re.compile(
    r"(?<![\w-])(?:(?:sk-|hf_|gh[opsur]_|github_pat_|glpat-|xox[a-z]-|gsk_|xai-|pplx-|nvapi-|r8_)"
    r"[\w-]{16,}|A(?:KI|SI)A[0-9A-Z]{16}(?!\w)|AIza[\w-]{30,}|eyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]{8,})"
)
_PRIVATE_KEY = re.compile(r"(-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----)[A-Za-z0-9+/=\s\\]*")


def without_secrets(text: str) -> str:
    """Replace keys and passwords in a word of the command line, or in any other text.

    Text may be code: ``sorted(words, key=len)`` and ``token = tokens[i]`` stay. So in any text but
    an override, only names that are always those of secrets count, and values that look like keys.
    """
    typed = _OVERRIDE.match(text) is not None

    def hidden(match: re.Match[str]) -> str:
        if not _is_secret(match, typed=typed):
            return match[0]
        bare = match["bare"] or ""
        rest = bare[len(bare.rstrip(")];")) :]
        return f"{match['name']}{match['sep']}{match['quote'] or ''}***{rest}"

    text = _ASSIGNED.sub(hidden, text)
    for pattern in (_PRIVATE_KEY, _BEARER):
        text = pattern.sub(r"\1***", text)
    return _KEYS.sub("***", _CREDENTIALS.sub(r"\1***@", text))


def _is_secret(match: re.Match[str], *, typed: bool) -> bool:
    name, quoted, bare = match["name"], match["quoted"], match["bare"]
    value = quoted or bare.rstrip(")];")
    if bare and _CONSTANT.match(bare):
        return False
    if typed:
        return True
    if bare and _EXPRESSION.match(bare):
        return False
    if _ALWAYS.fullmatch(name) or _VARIABLE.fullmatch(name):
        # A name that is passed on, as in f(password=password), is no secret.
        return (
            quoted is not None
            or not re.fullmatch(r"[A-Za-z_]*", value)
            or (_NAME_OF_A_SECRET.search(value) is None and "=" in match["sep"])
        )
    return any(
        any(map(str.isdigit, run)) and any(map(str.isalpha, run)) for run in _RANDOM.findall(value)
    )


def secrets_of(environment: Mapping[str, str], named: Iterable[str]) -> list[str]:
    """Return the values of variables that are `named`, or whose name says that they are secret.

    The longest come first, so that none hides a part of another. Values too short to be told from
    ordinary words are left out: under 4 characters, or under 8 where only the name says so.
    """
    least = dict.fromkeys((n for n in environment if _NAME_OF_A_SECRET.search(n)), 8)
    least |= dict.fromkeys(named, 4)
    found = {environment[n] for n, size in least.items() if len(environment.get(n, "")) >= size}
    return sorted(found, key=len, reverse=True)


def with_whole_keys(text: str, parent: str, names: Iterable[str]) -> str:
    """Return a message with every key in full, under `parent`, where it names only the last part.

    Only names with an underscore count: others may be English words.
    """
    known = [re.escape(name) for name in names if "_" in name]
    if not known or not parent:
        return text
    return re.sub(rf"(?<![\w.])(?=(?:{'|'.join(known)})(?!\w))", f"{parent}.", text)


def nearest(name: str, valid: Iterable[str], listed: Iterable[str] | None = None) -> str:
    """Return what to suggest for a wrong name: the closest valid name, or all names.

    `listed` are the names to list, if not all.
    """
    names = sorted(set(valid))
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"valid: {', '.join(names if listed is None else sorted(set(listed)))}"


def first_line(error: Exception) -> str:
    """The first line of what an error says, or its type."""
    words = str(error).strip().splitlines()
    return words[0].rstrip(".") if words else type(error).__name__
