"""Tasks in a file store."""

from collections.abc import Mapping
from typing import Any

from codeact.datasets.toolbench.domains.files import Files
from codeact.datasets.toolbench.drawing import Draws
from codeact.datasets.toolbench.makers.base import CallLog, DomainMaker, Draft, Unsuitable

_FIRMS = ("alder", "birch", "cedar", "hazel", "larch", "maple", "rowan")
_YEARS = ("2021", "2022", "2023", "2024")
_STATES = ("open", "paid", "draft")
_SEAL = "Then seal the store, and answer with the code that this returns."
_FORM = (
    "Each invoice is a file in /invoices/FIRM/YEAR with two lines, its amount in cents and its "
    'state: "amount: 1250" and "state: paid". The state is open, paid or draft.'
)
_READ = """\
def invoices(folder):
    found = []
    for name in list_folder(folder):
        text = read_file(f"{folder}/{name}")
        amount, state = (line.split(": ")[1] for line in text.splitlines())
        found.append((f"{folder}/{name}", int(amount), state))
    return found

"""


def _data(draws: Draws) -> dict[str, Any]:
    files = {}
    number = draws.whole(1000, 4000)
    for firm in _FIRMS:
        for year in _YEARS:
            for _ in range(draws.whole(1, 8)):
                number += draws.whole(1, 9)
                state = draws.one(_STATES)
                files[f"/invoices/{firm}/{year}/{number}.txt"] = (
                    f"amount: {draws.whole(300, 98000)}\nstate: {state}"
                )
        for topic in draws.some(("call", "contract", "delivery", "visit"), draws.whole(1, 3)):
            files[f"/notes/{firm}/{topic}.txt"] = f"room: {draws.whole(100, 990)}"
    return {"files": files}


def _folder(draws: Draws, data: Mapping[str, Any], least: int, most: int) -> str:
    """Draw the folder of a firm and a year with so many invoices."""
    folder = f"/invoices/{draws.one(_FIRMS)}/{draws.one(_YEARS)}"
    if not least <= sum(name.startswith(folder) for name in data["files"]) <= most:
        raise Unsuitable
    return folder


def _invoices(call: CallLog, folder: str) -> list[tuple[str, int, str]]:
    found = []
    for name in call("list_folder", path=folder):
        text = call("read_file", path=f"{folder}/{name}")
        amount, state = (line.split(": ")[1] for line in text.splitlines())
        found.append((f"{folder}/{name}", int(amount), state))
    return found


def _room(draws: Draws, call: CallLog, data: Mapping[str, Any]) -> Draft:
    path = draws.one([name for name in data["files"] if name.startswith("/notes")])
    return Draft(
        f"Which number of a room is in the file {path}? Answer with a whole number.",
        int(call("read_file", path=path).split()[-1]),
        "integer",
        f'print(read_file("{path}").split()[-1])',
    )


def _newest(draws: Draws, call: CallLog, data: Mapping[str, Any]) -> Draft:
    folder = _folder(draws, data, 3, 8)
    return Draft(
        f"Invoices have numbers for names. Which file in the folder {folder} has the highest "
        "number? Answer with the name of the file, such as 1234.txt.",
        call("list_folder", path=folder)[-1],
        "text",
        f'print(max(list_folder("{folder}")))',
    )


def _small_folder(draws: Draws, call: CallLog, data: Mapping[str, Any]) -> Draft:
    folder = _folder(draws, data, 2, 3)
    return Draft(
        f"{_FORM} What is the amount of all invoices in {folder} together, in cents? Answer with a "
        "whole number.",
        sum(amount for _, amount, _ in _invoices(call, folder)),
        "integer",
        f'{_READ}print(sum(amount for _, amount, _ in invoices("{folder}")))',
    )


def _file_away(draws: Draws, call: CallLog, data: Mapping[str, Any]) -> Draft:
    folder = _folder(draws, data, 1, 2)
    moved = folder.replace("/invoices", "/archive")
    for name in call("list_folder", path=folder):
        call("rename_file", path=f"{folder}/{name}", new_path=f"{moved}/{name}")
    return Draft(
        f"File all that is in the folder {folder} away: each file goes to the folder {moved} under "
        f"its own name. {_SEAL}",
        call("seal_store"),
        "code",
        f"""\
for name in list_folder("{folder}"):
    rename_file(f"{folder}/{{name}}", f"{moved}/{{name}}")
print(seal_store())""",
    )


def _owed_in_folder(draws: Draws, call: CallLog, data: Mapping[str, Any]) -> Draft:
    folder = _folder(draws, data, 4, 8)
    total = sum(amount for _, amount, state in _invoices(call, folder) if state == "open")
    if not total:
        raise Unsuitable
    return Draft(
        f"{_FORM} What is the amount of all open invoices in {folder} together, in cents? Answer "
        "with a whole number.",
        total,
        "integer",
        f"""{_READ}\
print(sum(amount for _, amount, state in invoices("{folder}") if state == "open"))""",
    )


def _without_drafts(draws: Draws, call: CallLog, data: Mapping[str, Any]) -> Draft:
    folder = _folder(draws, data, 3, 8)
    drafts = [path for path, _, state in _invoices(call, folder) if state == "draft"]
    for path in drafts:
        call("delete_file", path=path)
    if not drafts:
        raise Unsuitable
    return Draft(
        f"{_FORM} Delete all drafts in {folder}, and nothing else. {_SEAL}",
        call("seal_store"),
        "code",
        f"""{_READ}\
for path, _, state in invoices("{folder}"):
    if state == "draft":
        delete_file(path)
print(seal_store())""",
    )


def _owed_by_firm(draws: Draws, call: CallLog, data: Mapping[str, Any]) -> Draft:
    firm = draws.one(_FIRMS)
    years = [name.rstrip("/") for name in call("list_folder", path=f"/invoices/{firm}")]
    total = 0
    for year in years:
        found = _invoices(call, f"/invoices/{firm}/{year}")
        total += sum(amount for _, amount, state in found if state == "open")
    if not total:
        raise Unsuitable
    return Draft(
        f"{_FORM} What is the amount of all open invoices of the firm {firm} together, over all "
        "years, in cents? Answer with a whole number.",
        total,
        "integer",
        f"""{_READ}\
total = 0
for year in list_folder("/invoices/{firm}"):
    for _, amount, state in invoices(f"/invoices/{firm}/{{year}}".rstrip("/")):
        if state == "open":
            total += amount
print(total)""",
    )


def _total_written_down(draws: Draws, call: CallLog, data: Mapping[str, Any]) -> Draft:
    firm, years = draws.one(_FIRMS), draws.some(_YEARS, 3)
    total = 0
    for year in years:
        found = _invoices(call, f"/invoices/{firm}/{year}")
        total += sum(amount for _, amount, state in found if state == "paid")
    path = f"/notes/{firm}/paid.txt"
    call("write_file", path=path, text=str(total))
    return Draft(
        f"{_FORM} Add up the amounts of all paid invoices of the firm {firm} of the years "
        f"{', '.join(years)}. Write the sum in cents to the file {path}, as a whole number and "
        f"nothing else. {_SEAL}",
        call("seal_store"),
        "code",
        f"""{_READ}\
total = 0
for year in {years!r}:
    found = invoices(f"/invoices/{firm}/{{year}}")
    total += sum(amount for _, amount, state in found if state == "paid")
write_file("{path}", str(total))
print(seal_store())""",
    )


MAKER = DomainMaker(
    "You look after a store of text files. The tools list folders, and read, write, rename and "
    "delete files.",
    Files,
    _data,
    {
        "single": (_room, _newest),
        "few": (_small_folder, _file_away),
        "several": (_owed_in_folder, _without_drafts),
        "loop": (_owed_by_firm, _total_written_down),
    },
)
