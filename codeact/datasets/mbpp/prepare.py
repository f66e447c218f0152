"""MBPP: one sentence and the first of its assertions."""

from collections.abc import Iterator

from codeact.datasets.preparing.base import Choice, Journal, Made, Preparer
from codeact.datasets.preparing.raw import Raw, missing


def _read(raw: Raw, _choice: Choice, journal: Journal) -> Iterator[Made]:
    for number, record in enumerate(raw.records("mbpp.jsonl")):
        tests = record.value.get("test_list")
        # A handful of records has tests that take the names in this code for granted.
        setup = str(record.value.get("test_setup_code") or "").replace("\r\n", "\n").strip()
        if problem := missing(record, "text", "code"):
            journal.refuse(record.where, problem)
        elif not isinstance(tests, list) or not tests or not all(isinstance(t, str) for t in tests):
            journal.refuse(record.where, "field 'test_list' is no list of assertions")
        else:
            row = {
                "prompt": f'"""\n{record.value["text"]}\n{tests[0]}\n"""\n',
                "id": number,
                "reference": "\n".join([setup, *tests] if setup else tests),
                **record.value,
            }
            yield Made("mbpp", row, record.where)


PREPARER = Preparer(
    name="mbpp",
    family="mbpp",
    source="google-research/google-research, mbpp/mbpp.jsonl",
    licence="CC BY 4.0",
    read=_read,
    hub_split="test",
)
