"""Takes a program out of the Markdown fences that models like to put around it."""

_FENCE = "```"


def unfence(answer: str) -> str:
    """Return what stands in an answer's fenced blocks; all of it if there are none.

    An unclosed block goes to the end. One pass over the lines.
    """
    if _FENCE not in answer:
        return answer
    inside = False
    fenced = False
    kept: list[str] = []
    for line in answer.splitlines():
        if line.lstrip().startswith(_FENCE):
            inside = not inside
            fenced = True
        elif inside:
            kept.append(line)
    return "\n".join(kept) if fenced else answer
