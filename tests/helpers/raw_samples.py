"""Raw data of our own in the published forms, a few records of each training set."""

import io
import json
import tarfile
import zipfile
from collections.abc import Mapping
from typing import Any

SUBJECTS = (
    "algebra", "counting_and_probability", "geometry", "intermediate_algebra", "number_theory",
    "prealgebra", "precalculus",
)  # fmt: skip
TASKS = 3
"""Of each set, besides the ten examples of APPS."""
_TABLE = [["City", "Founded"], ["Ur", "3800"], ["Uruk", "4000"]]


def raw_files(per_set: int = TASKS) -> dict[str, bytes]:
    """Every file by its path in the raw folder, as the published addresses have them."""
    return {
        "apps/train.jsonl": _lines(_problem(number) for number in range(10 + per_set)),
        **{
            f"math/preprocessed-CRAFT/train/{subject}.jsonl": _lines(
                {"question": f"{subject}: what is {n} + 1?", "answer": str(n + 1), "level": level}
                for n, level in enumerate(["Level 2", *["Level 5"] * per_set])
            )
            for subject in SUBJECTS
        },
        "math/MATH.tar": tar(
            {
                f"MATH/train/{subject}/1.json": _json(
                    {
                        "problem": f"{subject}: what is 1 + 1?",
                        "level": "Level 5",
                        "type": subject.replace("_", " ").capitalize(),
                        "solution": r"Add them: \boxed{2}.",
                    }
                )
                for subject in SUBJECTS
            }
        ),
        "hotpotqa/train.json": _json(
            [
                {"question": f"Which city is number {n}?", "answer": "Ur", "level": level}
                for n, level in enumerate(["easy", *["hard"] * per_set])
            ]
        ),
        "strategyqa/strategyqa_dataset.zip": zipped(
            {
                "strategyqa_train.json": _json(
                    [{"question": f"Is {n} odd?", "answer": n % 2 == 1} for n in range(per_set)]
                ),
                "strategyqa_train_paragraphs.json": _json({"Ur": "A city."}),
            }
        ),
        "wiki_table_question/WikiTableQuestions-1.0.2-compact.zip": zipped(
            {
                "WikiTableQuestions/data/training.tsv": "".join(
                    "\t".join(row) + "\n"
                    for row in [
                        ["id", "utterance", "context", "targetValue"],
                        *(
                            [f"nt-{n}", f"When was Ur founded? ({n})", "csv/200-csv/1.csv", "3800"]
                            for n in range(per_set)
                        ),
                    ]
                ).encode(),
                "WikiTableQuestions/csv/200-csv/1.csv": "".join(
                    ",".join(row) + "\n" for row in _TABLE
                ).encode(),
            }
        ),
    }


def tar(members: Mapping[str, bytes]) -> bytes:
    """An archive of files."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as opened:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            opened.addfile(info, io.BytesIO(content))
    return packed.getvalue()


def zipped(members: Mapping[str, bytes]) -> bytes:
    """An archive of files."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, content in members.items():
            opened.writestr(name, content)
    return packed.getvalue()


def _problem(number: int) -> dict[str, Any]:
    cases = {"inputs": [f"{number}\n"], "outputs": [f"{2 * number}\n"]}
    return {
        "problem_id": number,
        "question": f"Read a number and print its double. ({number})",
        "solutions": json.dumps(["print(2 * int(input()))"]),
        "input_output": json.dumps(cases),
        "difficulty": "introductory",
        "url": "",
        "starter_code": "",
    }


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()


def _lines(rows: Any) -> bytes:
    return b"".join(_json(row) + b"\n" for row in rows)
