"""Which recorded episodes are exported, and how many are left out for what reason."""

from typing import Literal

from codeact.episode.causes import HANDLING
from codeact.episode.effects import Outcome

Episodes = Literal["counted", "solved", "all"]


def left_out(chosen: Episodes, outcome: Outcome, edited: int) -> str:
    """Say why an episode is left out, in a few words; empty where it is not.

    `counted` are all whose outcome is the policy's own, and `solved` the successes among them; what
    a person edited is no policy's own. `all` leaves nothing out.
    """
    if chosen == "all":
        return ""
    if not HANDLING[outcome.cause].counted:
        return f"failed by the {outcome.cause}"
    if edited:
        return "edited by a person"
    return "" if outcome.success or chosen == "counted" else "not solved"
