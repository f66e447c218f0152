"""The interface strings and counting rules of the published interaction protocol.

Source: the CodeAct / MINT transcripts. Tags, stop strings and the short observation strings are
kept to the letter so that recorded episodes replay turn by turn; all other words are ours.
"""

SEPARATOR = "\n\n---\n\n"

POLICY_STOP = ("\nObservation:", "\nExpert feedback:", "\nTask:", "\n---")
POLICY_STOP_PLAIN = (*POLICY_STOP, "\nHuman:")
"""For plain-completion models, which would otherwise go on to write the user's turn."""
FEEDBACK_STOP = ("\nObservation:", "\nTask:", "\nAssistant:")

ASSISTANT_PREFIX = "Assistant:"
_ASSISTANT = f"{ASSISTANT_PREFIX}\n"
NO_OUTPUT = "[Executed Successfully with No Output]"
TRUNCATED = "...\n[Output Truncated]"
MAX_OBSERVATION = 2000
WRONG_ANSWER = "Your answer is wrong."
NOT_PERFORMED = "Not performed, because the answer before it is wrong."
NOT_GIVEN = "NOT GIVEN"
"""What sparse feedback says on turns without a proposal."""
GOOD, BAD = "This is GOOD.", "This is BAD."
"""All that binary feedback says."""


def render_output(output: str) -> str:
    """Return the observation of a cell (docs/protocol.md, "Observations") that wrote `output`."""
    if output == "":
        return NO_OUTPUT
    if len(output) > MAX_OBSERVATION:
        output = output[:MAX_OBSERVATION] + TRUNCATED
    return output.strip()


def render_execution(output: str, *, state_lost: bool) -> str:
    """Return the observation of any cell.

    If the interpreter was lost, the output's last line says so. That line is always kept, because
    the policy has to know.
    """
    if not state_lost:
        return render_output(output)
    before, _, notice = output.rpartition("\n")
    return f"{render_output(before)}\n{notice}" if before.strip() else notice


def assistant_content(text: str) -> str:
    """Render what a policy wrote as its message has it.

    A line end of the policy's own is kept before the one that every message ends with.
    """
    if text == "":
        return _ASSISTANT
    prefix = "" if text.lstrip().startswith(ASSISTANT_PREFIX) else _ASSISTANT
    return f"{prefix}{text}\n"


def policy_text(content: str) -> str:
    """Return what a policy wrote, of a message that `assistant_content` may have rendered."""
    return content.removeprefix(_ASSISTANT).removesuffix("\n")


def between_tags(text: str, tag: str) -> str:
    """Return the contents of every ``<tag>…</tag>``, stripped and joined by newlines.

    Scans with `str.find`, in linear time; a regular expression would take quadratic time for a
    megabyte of unclosed tags.
    """
    start_tag, end_tag = f"<{tag}>", f"</{tag}>"
    parts: list[str] = []
    position = 0
    while (start := text.find(start_tag, position)) >= 0:
        start += len(start_tag)
        end = text.find(end_tag, start)
        if end < 0:
            break
        parts.append(text[start:end].strip())
        position = end + len(end_tag)
    return "\n".join(parts)


PARSE_FAILURE = (
    "I don't understand your input. \n"
    "If you want to execute code, please use <execute> YOUR_CODE_HERE </execute>.\n"
    "If you want to give me an answer, please use <solution> YOUR_SOLUTION_HERE </solution>.\n"
    "For example: The answer to the question is <solution> 42 </solution>. \n"
)
"""The one observation of an action that cannot be parsed; recorded runs contain it verbatim."""
