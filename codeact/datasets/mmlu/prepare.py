"""MMLU: four options; the right one as a letter (the original) or as 0 to 3 (copies)."""

from collections.abc import Iterator

from codeact.datasets.preparing.base import Choice, Journal, Made, Preparer
from codeact.datasets.preparing.raw import Raw

_LETTERS = "ABCD"


def _letter(answer: str) -> str:
    answer = answer.strip()
    if answer in ("0", "1", "2", "3"):
        answer = _LETTERS[int(answer)]
    return answer.lower() if answer and answer in _LETTERS else ""


def _read(raw: Raw, _choice: Choice, journal: Journal) -> Iterator[Made]:
    number = 0
    for path in raw.find("test/*_test.csv", "data/test/*_test.csv"):
        for where, cells in raw.table(path):
            if cells[:1] == ["question"] and cells[-1:] == ["answer"]:
                continue
            if len(cells) != 6:
                journal.refuse(where, f"has {len(cells)} cells: 6 are a question with its options")
            elif not (letter := _letter(cells[5])):
                journal.refuse(where, f"the answer is {cells[5]!r:.40}, which is no option")
            else:
                pairs = zip(_LETTERS, cells[1:5], strict=True)
                options = " , ".join(f"{name} ) {option}" for name, option in pairs)
                prompt = f"{cells[0]}\nOptions: {options}"
                row = {"id": number, "prompt": prompt, "reference": letter}
                yield Made("mmlu", {**row, "subject": path.stem.removesuffix("_test")}, where)
            number += 1


PREPARER = Preparer(
    name="mmlu",
    family="mmlu",
    source="hendrycks/test, data.tar",
    licence="MIT",
    read=_read,
)
