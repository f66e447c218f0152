"""The words and signs by which an answer denies, doubts, bounds or takes back what it says.

They are English, in lower case; `commitment` decides what follows from them.
"""

import re

_DENIALS = (
    r"not|cannot|cant|never|neither|nor|none|nothing|nobody|no|nope"
    r"|isnt|arent|wasnt|dont|doesnt|wont"
    r"|wrong|wrongly|incorrect|incorrectly|untrue|false|falsely|inaccurate|invalid|impossible"
    r"|mistake|mistaken|mistakenly|erroneous|except|excepting|exclude|excluded|excludes|excluding"
    r"|unless|eliminate|eliminated|eliminates|eliminating|reject|rejected|rejects|rejecting"
    r"|discard|discarded|dismiss|dismissed|avoid|refuted|disproved|disproven|contrary|opposite"
    r"|unlikely|improbable|hardly|scarcely|barely|anything besides|all besides|everything besides"
    r"|(?:any|every|all)(?:where|one|thing|body)?(?: \w+)? but|other than|apart from|aside from"
    r"|rather than|instead of|ruled out|rule out|rules out|ruling out|far from|as opposed to"
)
_DOUBTS = (
    r"i thought|i had thought|i assumed|maybe|perhaps|possibly|probably|presumably|supposedly"
    r"|might|may be|may have|could be|could have|would have been|either|unsure|uncertain|unclear"
    r"|unknown|undetermined|undecided|unable|ambiguous|doubt|doubts|doubtful|doubted|questionable"
    r"|i guess|my guess|a guess|best guess|educated guess|guessing|potentially|conceivably"
    r"|hypothetically|debatable|if and only if|depends|depending"
)
_SIGNS = (
    r"n['’]t\b|≠|!=|=/=|<>|\\neq?(?![a-z])|\\not(?![a-z])|\\lnot|¬|❌|✗|✘|✖"
    r"|\?(?=[\"')\]\s]*$)"
)
_WORD = re.compile(
    rf"(?<![\w-])(?:{_DENIALS}|{_DOUBTS}|and/or|or|vs|versus|alternatively)(?![\w-])|{_SIGNS}"
)
_BOUND = re.compile(
    r"[<≤≥≮≯≲≳≶≷±]|(?<![-=>])>|\\(?:leq?|geq?|lt|gt|leqslant|geqslant|pm|mp)(?![a-z])"
    r"|\b(?:less|more|greater|fewer|larger|smaller|bigger|higher|lower|older|younger)"
    r" than (?:or equal to )?(?=[-$\\(]{0,3}\d)"
    r"|\bat (?:least|most)\b|\b(?:between|within|up to|over|under|above|below|beyond|exceeds"
    r"|exceeding|nearly|almost|just short of|close to|near|upwards of)\s(?=[-$\\(]{0,3}\d)"
    r"|\btoo (?:big|large|small|low|high|many|few|much|little)\b|(?<=\d)-?ish\b"
    r"|\b(?:half|half of|twice|double|triple) (?=[-$\\(]{0,3}\d)"
)
_TRUTH = re.compile(r"(?i)[\"'(\[*\s]{0,4}(?:yes|no|true|false)\b(?! (?:is|was|isn|would|does)\b)")
_TAKES_BACK_NO = re.compile(rf"(?<![\w-])(?:{_DOUBTS}|or|yes|true)(?![\w-])|\?")
_TAKES_BACK_YES = re.compile(
    rf"(?<![\w-])(?:{_DOUBTS}|or|no(?=\W{{0,4}}$)|false)(?![\w-])"
    r"|\?|[❌✗✘✖]|\b(?:wrong|incorrect)\W{0,4}$|\bnot (?:\w+ )?(?:sure|certain|confident)\b"
)
_LONE_NOT = re.compile(r"(?i)[\W_]{0,8}not\b(?:\W{0,4}$)?")
NO = re.compile(r"(?i)\W{0,4}(?:no|not|false)\b")

EXPLANATION = re.compile(
    r"(?i)\s?[,;(—–-]?\s?\b(?:because|since|due to|given that|seeing that|considering)\b"
    r"|,\s(?:as|for|which|who|whose|where|while|whereas)\b|\s[—–]\s"
    r"|(?<=[\w.)\]\"'])\s\((?=[a-z]{1,20} [a-z]{2})(?!not )(?=[^()]{0,200}\))"
)
"""Begins a remark that explains what stands before it."""

CONTRAST = re.compile(
    r"(?i)(?:,\s(?:and |but )?|\s(?:and |but )|\s?\()not\s"
    r"|[,;(]?\s?\b(?:rather than|instead of|as opposed to|in contrast to|unlike)\s"
)
"""Sets another value against the one before it."""

JUDGEMENT = re.compile(
    r"(?i)\W*(?:really|quite|sure|certain|exactly|correct|right|true|possible|likely|necessarily"
    r"|the (?:right |correct )?(?:answer|solution|result)|it|this|that|so|at all|applicable|valid"
    r"|confirmed|known|clear)\b"
)
"""What follows ``not`` where a sentence judges itself: ``42, not really``."""

CORRECTION = re.compile(
    r"(?i)\b(?:wait|actually|correction|scratch that|strike that|on second thoughts?|oops|sorry"
    r"|i mean|i meant|make that|my mistake|hold on|on reflection|no longer|instead)\b"
    r"|[,—–-]\s*no\b|\bbut (?:also|maybe|then|now)\b"
)
"""Takes back a value that stands before it in the same sentence."""

RETRACTION = re.compile(
    r"(?i)[\W_]*(?:but |hmm,? |oh,? |and |so )?(?:wait|actually|correction|scratch|strike that"
    r"|on (?:second|further)|oops|sorry|i mean|i meant|make that|my mistake|never ?mind|hold on"
    r"|on reflection|no\b|nope\b|or\b|instead\b|alternatively|maybe|perhaps|possibly|could be"
    r"|rather\b|wrong|incorrect|false\b|just kidding|kidding|edit\b|revised|update\b"
    r"|but (?:also|then)|unless|except|i (?:doubt|guess|take)\b"
    r"|let me (?:re|correct|fix|try|think))"
)
"""Begins a sentence that takes back the one before it."""

REGRET = re.compile(
    r"(?i)\bapologi[sz]e for\b|\bmy (?:mistake|error|bad)\b|\bi made (?:a|an) (?:mistake|error)\b"
    r"|\bi (?:was|am) (?:wrong|mistaken|unsure|uncertain|guessing|just guessing)\b"
    r"|\bnot (?:so |very |entirely |completely |really )?(?:sure|certain|confident)\b"
    r"|\bon second thoughts?\b|\bscratch that\b|\bi doubt\b|\bno idea\b"
)
"""Says anywhere in a sentence that what was said does not hold."""

ABOUT_THE_ANSWER = re.compile(
    r"(?i)\W{0,4}"
    r"(?:(?:but|however|though|although|and|so|then|still|yet|because|since|as|which)[,\s]+)*"
    r"(?:it|its|it's|this|that|that's|these|those|my \w+|i|which"
    r"|the (?:above|answer|solution|result|previous|former|last|statement|claim|option"
    r"|number|value)|is|are|was)\b"
    r"(?:\s(?:is|are|was|were|would|could|can|does|do|did|should|has|be|seems?|looks?|to|answer"
    r"|option|definitely|clearly|also|just|simply|probably|likely|most|very)\b){0,4}"
)
"""The subject of a sentence about the answer itself, as far as what is said of it."""

NEGATIVE = frozenset({
    "not", "except", "exception", "exceptions", "excluding", "false", "incorrect", "incorrectly",
    "wrong", "never", "cannot", "isn't", "aren't", "doesn't", "don't", "wasn't", "untrue",
    "least", "unlikely",
})  # fmt: skip
"""Words of a question that asks for what is not the case."""
NEGATORS = frozenset(
    {"not", "n't", "n’t", "never", "no", "cannot", "none", "neither", "nor", "nothing", "nobody"}
)


def found(text: str, *, bounds: bool = False, truth: bool = False) -> list[str]:
    """List the cues in a text; `truth` leaves out ``no`` and ``false``, which are values then."""
    lowered = text.lower()
    cues = [match.group() for match in _WORD.finditer(lowered)]
    if bounds:
        cues += [match.group() for match in _BOUND.finditer(lowered)]
    return [cue for cue in cues if cue not in ("no", "false")] if truth else cues


def judged_wrong(rest: str) -> bool:
    """Whether what is said of the answer is that it is wrong: ``not right``, ``incorrect``."""
    denial = _WORD.match(rest.lower().lstrip(" ,:"))
    if denial is None:
        return False
    if denial.group() not in NEGATORS:
        return True
    after = rest.lower().lstrip(" ,:")[denial.end() :].strip(" .,;!)")
    return not after or JUDGEMENT.match(after) is not None


def doubt(after: str, *, value: bool) -> str:
    """Find what takes back a leading yes or no in the words after it; nothing if they explain."""
    lowered = after.lower()
    about = ABOUT_THE_ANSWER.match(lowered)
    if value and about and judged_wrong(lowered[about.end() :]):
        return about.group().strip()
    hit = _TAKES_BACK_NO.search(lowered) if not value else _TAKES_BACK_YES.search(lowered)
    return hit.group() if hit else ""


def retracts(part: str) -> bool:
    """Whether a sentence takes back the one before it."""
    lone = _LONE_NOT.match(part)
    if lone and (lone.end() == len(part) or JUDGEMENT.match(part[lone.end() :])):
        return True
    return RETRACTION.match(part) is not None or REGRET.search(part) is not None


def led_by_truth(text: str) -> bool:
    """Whether a text begins with a truth value that is no subject: ``No, they are not``."""
    return _TRUTH.match(text) is not None


def after_truth(text: str) -> str:
    """Take what follows the leading truth value."""
    match = _TRUTH.match(text)
    return text[match.end() :] if match else text


def plain(text: str) -> list[str]:
    """The words of a text, in lower case."""
    return re.findall(r"[\w'-]+", text.lower())
