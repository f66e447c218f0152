"""Recorded runs with feedback, taken through the state machine without a model or a sandbox."""

from collections import Counter
from pathlib import Path

import pytest

from codeact.datasets.families import get
from codeact.datasets.task_files import load_tasks
from codeact.episode import protocol
from codeact.episode.effects import Complete, Completion, Critique, Execute, Execution, Verdict
from codeact.episode.machine import Episode
from codeact.episode.prompts.recorded import Preambles, RecordedStrategy, preamble_of
from codeact.episode.settings import EpisodeSettings
from codeact.episode.task import Task
from codeact.experiment.replay import parse_feedback, parse_turns
from codeact.recordings.episodes import RecordedEpisode, read_recordings

SHARED = Path(__file__).parents[3] / "shared" / "data"
RUNS = SHARED / "transcripts" / "gpt-3.5-turbo-0613" / "F=gpt-4-0613"
SETS = ("gsm8k", "math", "mmlu", "theoremqa", "hotpotqa", "humaneval", "mbpp")
KINDS = {
    "no_GT-textual": (1336, 1336, 2),
    "GT-textual": (1308, 1308, 6),
    "no_GT-binary": (1378, 1378, 0),
    "no_GT-textual-sparse": (195, 1378, 0),
}
"""Comments that were asked for; turns with something in their place; comments that leak."""


def played(recorded: RecordedEpisode, task: Task) -> tuple[Episode, int]:
    """The episode with what was recorded as the result of every effect; and the comments asked."""
    before = preamble_of(recorded.first_message, recorded.prompt)
    strategy = RecordedStrategy({recorded.task_name: Preambles((before,))})
    settings = EpisodeSettings(turns=parse_turns(recorded), feedback=parse_feedback(recorded))
    family = get(recorded.task_name)
    answer = family.correct_answer(task)
    one = Episode(task, family.task_type, settings, strategy, answer=answer)
    comments = 0
    while isinstance(effect := one.pending, Complete) and effect.turn < len(recorded.turns):
        turn = recorded.turns[effect.turn]
        one.advance(Completion(turn.text))
        seen = turn.environment.observation if turn.environment else ""
        if isinstance(one.pending, Execute):
            one.advance(Execution(unshown(seen)))
        elif not isinstance(one.pending, Critique | Complete | None):
            last = effect.turn + 1 == len(recorded.turns)
            one.advance(Verdict(correct=last and recorded.outcome.success))
        if isinstance(one.pending, Critique):
            comments += 1
            assert turn.environment is not None
            one.advance(Completion(turn.environment.feedback or ""))
    return one, comments


def unshown(observation: str) -> str:
    """An output that is shown like this."""
    body, cut, _ = observation.partition(protocol.TRUNCATED)
    if observation == protocol.NO_OUTPUT:
        return ""
    return body.rjust(protocol.MAX_OBSERVATION) + "x" if cut else observation or " "


@pytest.mark.skipif(not SHARED.is_dir(), reason="the recorded episodes of ../shared are not here")
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_recorded_feedback_is_said_again_to_the_letter(kind: str) -> None:
    tasks = {
        (name, task.id): task
        for name in SETS
        for task in load_tasks(get(name), SHARED / "mint_tasks" / f"{name}.jsonl")
    }
    seen: Counter[str] = Counter()
    for recorded in read_recordings(RUNS / f"PHF={kind}"):
        if recorded.task_name not in SETS:
            continue
        one, comments = played(recorded, tasks[recorded.task_name, recorded.task_id])
        then = []
        for turn in recorded.turns:
            then.append(protocol.assistant_content(turn.text))
            if turn.environment is not None:
                then.append(turn.environment.render())
        now = [message["content"] for message in one.messages[1:]]
        assert now[: len(then)] == then, recorded.place
        seen["comments"] += comments
        seen["turns"] += sum(turn.feedback is not None for turn in one.turns)
        seen["leaks"] += sum(bool(turn.leaks) for turn in one.turns)
    assert (seen["comments"], seen["turns"], seen["leaks"]) == KINDS[kind]
