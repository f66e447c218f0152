"""What filters look at in a trajectory's turns, whichever version its record is of.

Where turns name their messages, what they did stands in the record; in published recordings it is
read from the text between tags.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

from codeact.collection.actions import actions
from codeact.episode.messages import as_text
from codeact.episode.protocol import PARSE_FAILURE
from codeact.recordings.trajectory import PlayedTurn, Trajectory

_FEEDBACK = "\nExpert feedback:"
_COUNT_DOWN = re.compile(r"\nYou have -?\d+ steps left and -?\d+ chances to propose[^\n]*")
_CELL_NUMBER = re.compile(r"\b(In|Out)\[\d+\]")


def texts(trajectory: Trajectory) -> Iterator[str]:
    """Yield what the model said, turn by turn, without its reasoning."""
    if trajectory.played is not None:
        return (trajectory.messages[place]["content"] for place in trajectory.places)
    return (one["content"] for one in trajectory.messages if one["role"] == "assistant")


def unanswered_actions(trajectory: Trajectory) -> bool:
    """Whether a turn's text has several actions, which did not get an observation each."""
    turns = trajectory.played
    if turns is None:
        return any(len(actions(text)) > 1 for text in texts(trajectory))
    return any(
        not turn.actions
        and "tool_calls" not in trajectory.messages[place]
        and len(actions(trajectory.messages[place]["content"])) > 1
        for turn, place in zip(turns, trajectory.places, strict=True)
    )


def all_failed(trajectory: Trajectory) -> bool:
    """Whether each turn before the last was a proposal, or code whose observation says Error.

    One of several actions failed if all of them did.
    """
    if trajectory.played is not None:
        return all(map(_failed, trajectory.played[:-1]))
    between = [message["content"] for message in trajectory.messages[1:-1]]
    return not any(
        "<solution>" not in answer and not ("<execute>" in answer and "Error" in observation)
        for answer, observation in zip(between[::2], between[1::2], strict=False)
    )


def _failed(turn: PlayedTurn) -> bool:
    return all(
        one.action == "propose" or (one.action == "execute" and "Error" in one.observation)
        for one in turn.actions or (turn,)
    )


def acted(trajectory: Trajectory) -> Iterator[tuple[str, str]]:
    """Yield the first action of each turn that has one, and what the environment said to it.

    The action of a turn with several is all of them.
    """
    if trajectory.played is not None:
        for turn in trajectory.played:
            if turn.action != "invalid" and (content := turn.content.strip()):
                tag = "<solution>" if turn.action == "propose" else "<execute>"
                yield f"{tag}{content}", _CELL_NUMBER.sub(r"\1", turn.observation).strip()
        return
    for message, after in pairwise([*trajectory.messages[1:], None]):
        if message is None or message["role"] != "assistant":
            continue
        if not (found := actions(message["content"])):
            continue
        tag, start, end = found[0]
        inside = message["content"][start:end][len(tag) + 2 : -len(tag) - 3].strip()
        said = after["content"] if after and after["role"] == "user" else ""
        said = _COUNT_DOWN.sub("", said.partition(_FEEDBACK)[0])
        yield f"<{tag}>{inside}", _CELL_NUMBER.sub(r"\1", said).strip()


def task_text(trajectory: Trajectory) -> str:
    """Return the task as it stands last in the messages before the first turn."""
    places = trajectory.places
    last = (places[0] if places else len(trajectory.history)) - 1 if trajectory.played else 0
    return trajectory.messages[max(last, 0)]["content"].rpartition("\n---\n")[2]


def shown(trajectory: Trajectory, leaks: str) -> Iterator[tuple[str, bool]]:
    """Yield what was said, piece by piece, and whether it counts as shown to the model.

    What the model reasoned it has said, too: it knew it then.
    """
    if trajectory.played is None:
        rest = [message["content"] for message in trajectory.messages[1:]]
        yield from _shown_by(rest, leaks)
        return
    for turn, place in zip(trajectory.played, trajectory.places, strict=True):
        message = trajectory.messages[place]
        yield f"{message.get('reasoning', '')}\n{as_text(message)}", False
        coded = turn.action == "execute"
        yield turn.observation.replace(PARSE_FAILURE, ""), leaks == "observation" or not coded
        yield turn.feedback or "", True


def _shown_by(rest: Sequence[str], leaks: str) -> Iterator[tuple[str, bool]]:
    coded = False
    for text in rest:
        if not text.startswith("Observation:"):
            coded = "<execute>" in text
            yield text, False
        else:
            observation, _, feedback = text.partition(_FEEDBACK)
            observation = _COUNT_DOWN.sub("", observation.replace(PARSE_FAILURE, ""))
            yield observation, leaks == "observation" or not coded
            yield feedback, True
