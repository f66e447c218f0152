"""Toolbench: what a seed makes, what the tools do with the state, and what counts as right."""

import asyncio
import hashlib
import json
from collections import Counter
from typing import Any, cast

import pytest

from codeact.datasets import get, load_tasks
from codeact.datasets.toolbench.domains.agenda import Agenda
from codeact.datasets.toolbench.domains.base import Domain
from codeact.datasets.toolbench.domains.ciphers import MORSE, Ciphers
from codeact.datasets.toolbench.domains.files import Files
from codeact.datasets.toolbench.domains.shop import Shop
from codeact.datasets.toolbench.domains.travel import Travel
from codeact.datasets.toolbench.drawing import Draws
from codeact.datasets.toolbench.makers.base import CALLS
from codeact.datasets.toolbench.making import MAKERS, rows_of
from codeact.episode.task import Task
from codeact.exceptions import ConfigError, TaskFileError
from codeact.sandboxes.base import Sandbox

ROWS = {seed: list(rows_of(seed)) for seed in (0, 1, 2)}
SEED_0 = "bc71cbfb07e5929b"


def test_the_shipped_set_is_the_same_everywhere() -> None:
    written = json.dumps(ROWS[0], sort_keys=True).encode()
    assert hashlib.sha256(written).hexdigest()[:16] == SEED_0


def test_every_domain_has_every_difficulty_and_calls_as_many_tools() -> None:
    counts = Counter((row["domain"], row["difficulty"]) for row in ROWS[0])
    assert counts == {(domain, difficulty): 5 for domain in MAKERS for difficulty in CALLS}
    assert len(MAKERS) >= 6
    assert len(ROWS[0]) >= 100
    for row in ROWS[0]:
        least, most = CALLS[row["difficulty"]]
        assert least <= len(row["calls"]) <= most, row["id"]


def test_the_first_tasks_are_of_all_domains_and_difficulties() -> None:
    assert len({(row["domain"], row["difficulty"]) for row in ROWS[0][:24]}) == 24


def test_no_two_seeds_share_a_task() -> None:
    seen: Counter[str] = Counter()
    for rows in ROWS.values():
        seen.update({json.dumps([row["prompt"], row["data"]]) for row in rows})
        seen.update({row["id"] for row in rows})
    assert set(seen.values()) == {1}
    assert len({tuple(str(row["reference"]) for row in rows) for rows in ROWS.values()}) == 3


def test_a_prompt_does_not_tell_its_answer() -> None:
    """But ports are named where one of them is asked for."""
    for row in (row for rows in ROWS.values() for row in rows):
        chosen_from = row["domain"] == "trade" and row["difficulty"] == "several"
        if row["kind"] in ("text", "code") and not chosen_from:
            assert row["reference"] not in row["prompt"], row["id"]


def test_a_session_does_not_hold_the_code_of_the_right_state() -> None:
    """A cell can read all of a session's setup; programs and calls stay on the host."""
    for task in load_tasks(get("toolbench"), "seed://0"):
        assert task.metadata["program"] not in task.setup
        if task.metadata["kind"] == "code":
            assert task.reference not in task.setup


def test_tools_are_few_and_called_by_one_name_each() -> None:
    family = get("toolbench")
    assert family.own_tools is not None
    assert family.row_tools is not None
    names = [name for domain in MAKERS for name in family.row_tools({"domain": domain})]
    assert len(names) == len(set(names)) == len(family.own_tools())
    assert all(4 <= len(family.row_tools({"domain": domain})) <= 8 for domain in MAKERS)
    spec = family.own_tools()["book_flight"]
    assert spec.signature == "book_flight(flight_id: str, passengers: int) -> str"
    assert spec.parameters is not None
    assert spec.parameters["required"] == ["flight_id", "passengers"]
    assert spec.parameters["properties"]["passengers"] == {"type": "integer"}


def test_draws_are_even_and_repeatable() -> None:
    drawn = Counter(Draws("even", number).whole(1, 6) for number in range(6000))
    assert sorted(drawn) == [1, 2, 3, 4, 5, 6]
    assert min(drawn.values()) > 850
    assert Draws(1, "a").shuffled(range(9)) == Draws(1, "a").shuffled(range(9))
    assert sorted(Draws(1, "a").shuffled(range(9))) == list(range(9))


# -- paths


def test_a_seed_is_a_whole_number_and_only_for_tasks_that_are_made() -> None:
    assert len(load_tasks(get("toolbench"), "seed://12")) == 120
    for path in ("seed://", "seed://x", "seed://-1", "seed://1.5", "seed://" + "9" * 40):
        with pytest.raises(ConfigError, match="whole number"):
            load_tasks(get("toolbench"), path)
    with pytest.raises(TaskFileError, match="gsm8k are read from a file"):
        load_tasks(get("gsm8k"), "seed://0")


def test_rows_out_of_a_file_are_the_same_tasks(tmp_path: Any) -> None:
    path = tmp_path / "toolbench.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS[0][:24]), "utf-8")
    made = load_tasks(get("toolbench"), "seed://0")[:24]
    assert [task.digest for task in load_tasks(get("toolbench"), path)] == [
        task.digest for task in made
    ]


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("domain", "bank", "must be one of agenda"),
        ("kind", "truth", "must be one of integer"),
        ("tolerance", -1, "must be a number from 0 on"),
        ("calls", [{"tool": "x"}], "must be a list of objects"),
        ("data", [], "must be an object"),
        ("reference", None, "must be a number, a text"),
    ],
)
def test_a_broken_row_is_refused(tmp_path: Any, field: str, value: Any, words: str) -> None:
    path = tmp_path / "broken.jsonl"
    path.write_text(json.dumps({**ROWS[0][0], field: value}), "utf-8")
    with pytest.raises(TaskFileError, match=f"line 1: field '{field}' {words}"):
        load_tasks(get("toolbench"), path)


# -- states


def data_of(domain: str) -> dict[str, Any]:
    return next(row["data"] for row in ROWS[0] if row["domain"] == domain)


def test_a_state_has_one_code_however_it_was_reached() -> None:
    one, other = Agenda(data_of("agenda")), Agenda(data_of("agenda"))
    events: list[tuple[str, int, str, int, str]] = [
        ("Abel", 3, "09:30", 20, "review"),
        ("Dora", 4, "10:00", 30, "lunch"),
    ]
    for event in events:
        one.add_event(*event)
    for event in reversed(events):
        other.add_event(*event)
    assert one.publish_agendas() == other.publish_agendas()
    trips = [Travel(data_of("travel")) for _ in range(2)]
    flights = [flight[0] for flight in data_of("travel")["flights"][:2]]
    for trip, order in zip(trips, (flights, flights[::-1]), strict=True):
        for flight in order:
            trip.book_flight(flight, 2)
    assert trips[0].confirm_trip() == trips[1].confirm_trip()


def test_another_state_has_another_code() -> None:
    codes = set()
    for cents in (0, 1, 2):
        shop = Shop(data_of("shop"))
        if cents:
            shop.set_price("P11", cents)
        codes.add(shop.close_books())
    assert len(codes) == 3


def test_a_cancelled_order_gives_its_pieces_back_once() -> None:
    shop = Shop(data_of("shop"))
    order = next(one for one in data_of("shop")["orders"] if one["status"] == "open")
    item = order["items"][0]
    before = int(shop.get_product(item["product_id"])["stock"])
    shop.cancel_order(order["id"])
    assert shop.get_product(item["product_id"])["stock"] == before + item["quantity"]
    with pytest.raises(ValueError, match="only open orders"):
        shop.cancel_order(order["id"])


def closed(domain: Domain, close: str, *change: Any) -> None:
    code = getattr(domain, close)()
    with pytest.raises(ValueError, match="closed"):
        getattr(domain, change[0])(*change[1:])
    assert getattr(domain, close)() == code


def test_nothing_can_be_changed_once_it_is_closed() -> None:
    flight = data_of("travel")["flights"][0][0]
    event = data_of("agenda")["events"][0]["id"]
    path = next(iter(data_of("files")["files"]))
    closed(Shop(data_of("shop")), "close_books", "set_price", "P11", 5)
    closed(Shop(data_of("shop")), "close_books", "add_stock", "P11", 5)
    closed(Travel(data_of("travel")), "confirm_trip", "book_flight", flight, 1)
    closed(Travel(data_of("travel")), "confirm_trip", "book_hotel", "H31", 1)
    closed(Agenda(data_of("agenda")), "publish_agendas", "delete_event", event)
    closed(Agenda(data_of("agenda")), "publish_agendas", "reschedule_event", event, 3, "09:00")
    closed(Files(data_of("files")), "seal_store", "write_file", "/a", "b")
    closed(Files(data_of("files")), "seal_store", "delete_file", path)
    closed(Files(data_of("files")), "seal_store", "rename_file", path, "/a")


def test_what_a_tool_returns_is_not_its_state() -> None:
    shop = Shop(data_of("shop"))
    order = cast("dict[str, Any]", shop.get_order("O701"))
    order["items"][0]["quantity"] = 10**6
    order["status"] = "sent"
    shop.get_product("P11")["stock"] = 10**6
    assert shop.close_books() == Shop(data_of("shop")).close_books()


def test_ciphers_are_undone() -> None:
    inbox = Ciphers({"messages": [], "keys": {"a": 3}})
    text = "THE WORD IS ZEPHYR"
    morse = " / ".join(" ".join(MORSE[letter] for letter in word) for word in text.split())
    assert inbox.decode_morse(morse) == text
    assert inbox.shift_back("WKH ZRUG LV CHSKBU", inbox.get_key("a")) == text
    assert inbox.reverse_text(text[::-1]) == text


@pytest.mark.parametrize(
    ("domain", "tool", "arguments", "words"),
    [
        ("shop", "get_product", {"product_id": "P99"}, "there is no product 'P99'; there are P11"),
        ("shop", "get_product", {"product_id": ["P11"]}, "there is no product"),
        ("shop", "add_stock", {"product_id": "P11", "quantity": True}, "must be a whole number"),
        ("travel", "find_flights", {"origin": "Rome", "destination": "Ardle", "day": 1}, "no city"),
        ("agenda", "list_events", {"person": "Abel", "day": "3"}, "must be a whole number"),
        ("files", "list_folder", {"path": "/nowhere"}, "there is no folder"),
        ("files", "write_file", {"path": "no", "text": ""}, "a path is like"),
        ("ciphers", "shift_back", {"text": "A", "places": "3"}, "must be a whole number"),
        ("trade", "get_price", {"good": "gold", "port": "Arden"}, "no good in Arden 'gold'"),
    ],
)
def test_a_tool_says_what_is_wrong(
    domain: str, tool: str, arguments: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        getattr(MAKERS[domain].domain(data_of(domain)), tool)(**arguments)


# -- answers


def verdict(kind: str, reference: Any, answer: str, tolerance: float = 0.0) -> bool:
    task = Task(
        name="toolbench",
        id="t",
        prompt="How many?",
        reference=reference,
        metadata={"kind": kind, "tolerance": tolerance},
    )
    grader = get("toolbench").grader("strict")
    return asyncio.run(grader(task, answer, cast("Sandbox", None))).correct


@pytest.mark.parametrize(
    ("kind", "reference", "right", "wrong"),
    [
        ("integer", 1250, ["1250", "1,250", "The answer is 1250."], ["1250.5", "1251", "12.50"]),
        ("integer", -90, ["-90", "−90"], ["90", "-90 or 90", "not -90", "-90, -91"]),
        ("text", "Garden Ardle", ["Garden Ardle", '"Garden Ardle"'], ["Ardle", "garden ardle", ""]),
        ("text", "2 03:30", ["2 03:30", "`2 03:30`"], ["3 03:30", "03:30", "2 3:30"]),
        ("code", "0a1b2c3d4e", ["0a1b2c3d4e"], ["0A1B2C3D4E", "0a1b2c3d4", "42"]),
        (
            "list",
            ["OLIVE", "CRANE"],
            ["OLIVE, CRANE", '["OLIVE", "CRANE"]', "['OLIVE', 'CRANE']", "OLIVE,CRANE"],
            ["CRANE, OLIVE", "OLIVE", "OLIVE, CRANE, BIRCH", "OLIVE CRANE"],
        ),
    ],
)
def test_an_answer_is_right_to_the_letter(
    kind: str, reference: Any, right: list[str], wrong: list[str]
) -> None:
    assert [answer for answer in right if not verdict(kind, reference, answer)] == []
    assert [answer for answer in wrong if verdict(kind, reference, answer)] == []


def test_only_numbers_with_a_tolerance_may_be_off() -> None:
    assert verdict("number", 10.25, "10.26", 0.01)
    assert not verdict("number", 10.25, "10.27", 0.01)
    assert not verdict("number", 10.25, "10.26")
    rows = [row for row in ROWS[0] if row["tolerance"]]
    assert {row["kind"] for row in rows} == {"number"}
    assert {row["domain"] for row in rows} == {"trade"}
