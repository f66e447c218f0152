"""LaTeX of answers in a normal form, by text alone."""

import re

_DROPPED = (
    "\\left",
    "\\right",
    "\\!",
    "\\,",
    "\\;",
    "\\ ",
    "^{\\circ}",
    "^\\circ",
    "\\%",
    "%",
    "\\$",
    "$",
)
_SAME = {
    "\\dfrac": "\\frac",
    "\\tfrac": "\\frac",
    "\\neq": "\\ne",
    "\\leq": "\\le",
    "\\geq": "\\ge",
}
_TEXT = re.compile(r"\\(?:text|mbox|mathrm|textbf)\{([^{}]*)\}")
_UNBRACED = re.compile(r"\\frac(\w)(\w)")
_HALF_BRACED = re.compile(r"\\frac(\w)\{")
_ROOT = re.compile(r"\\sqrt(\w)")


def normalised(latex: str) -> str:
    """Write LaTeX in one of the ways that mean the same: no spacing, no short forms."""
    text = latex.strip().rstrip(".")
    for piece in _DROPPED:
        text = text.replace(piece, "")
    for other, ours in _SAME.items():
        text = text.replace(other, ours)
    text = _TEXT.sub(r"\1", text)
    text = "".join(text.split())
    text = _UNBRACED.sub(r"\\frac{\1}{\2}", text)
    text = _HALF_BRACED.sub(r"\\frac{\1}{", text)
    text = _ROOT.sub(r"\\sqrt{\1}", text)
    return text.lower()
