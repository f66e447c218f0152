"""Models made of references: recorded episodes in which a seeded share of the tasks is solved.

`codeact run model=recorded` plays them, so that a whole run has known outcomes without any model.
"""

import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from codeact.datasets import Family
from codeact.episode.task import Task

SETTING = "max5_p2+tool+cd"
WRONG = "I do not know."
FIRST = "Be brief.\n\n---\n\nTask:\nAn example.\n\n---\n\nTask:\nA task.\n"


class Share(NamedTuple):
    """The part of each data set that a model solves, and the seed by which it is drawn.

    An episode has one of the numbers of `cells` before its answer, in turn.
    """

    solved: float
    seed: int
    cells: tuple[int, ...] = (1,)


def record_answers(
    root: Path, name: str, family: Family, tasks: Sequence[Task], share: Share
) -> set[str]:
    """Write one data set's episodes of the model below `root`; returns the ids of those solved.

    The other episodes end after two wrong proposals.
    """
    ids = [task.id for task in tasks]
    chance = random.Random(f"{share.seed} {name}")
    solved = set(chance.sample(ids, round(share.solved * len(ids))))
    folder = root / "model" / "F=None" / SETTING / family.task_type / name
    folder.mkdir(parents=True)
    with (folder / "results.jsonl").open("w") as file:
        for number, task in enumerate(tasks):
            answer = family.correct_answer(task)
            assert isinstance(answer, str), f"{task.key} has no known answer"
            count = share.cells[number % len(share.cells)]
            cells = [f"{number} + {turn}" for turn in range(count)]
            proposals = [answer] if task.id in solved else [WRONG, WRONG]
            file.write(json.dumps(_line(task, cells, proposals)) + "\n")
    return solved


def _line(task: Task, cells: list[str], proposals: list[str]) -> dict[str, object]:
    return {
        "state": {
            "history": list(_history(cells, proposals)),
            "success": len(proposals) == 1,
            "finished": True,
            "terminate_reason": "task_success" if len(proposals) == 1 else "max_propose_steps",
            "agent_action_count": {
                "propose_solution": len(proposals),
                "use_tool": len(cells),
                "invalid_action": 0,
            },
        },
        "task": {"task_name": "", "task_id": task.id, "prompt": "", "reference": None},
    }


def _history(cells: list[str], proposals: list[str]) -> Iterator[dict[str, str]]:
    said = [f"<thought> I look. </thought>\n<execute> {cell} </execute>" for cell in cells]
    said += [f"<solution> {answer} </solution>" for answer in proposals]
    yield {"role": "user", "content": FIRST}
    for place, text in enumerate(said):
        if place:
            yield {"role": "user", "content": "Observation:\nSomething.\n"}
        yield {"role": "assistant", "content": f"Assistant:\n{text}\n"}
