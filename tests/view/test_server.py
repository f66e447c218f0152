"""The server: who may ask, what is answered, and that nothing but the runs can be reached."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import requests

from codeact.episode.effects import Outcome
from codeact.view.runs import ViewedRuns
from tests.helpers.viewing import ViewServer, append, played, viewing, write_run

RIGHT, WRONG = ("<solution>2</solution>", ""), ("<solution>3</solution>", "Your answer is wrong.")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ViewServer]:
    root = tmp_path_factory.mktemp("runs")
    failed = Outcome(success=False, terminate_reason="error", cause="provider", error="down")
    a = [
        played("1", RIGHT, success=True),
        played("2", ("<execute>1/0</execute>", "ZeroDivisionError: no"), WRONG),
        played("3", WRONG, task_name="math"),
        played("4", outcome=failed),
        played("5", RIGHT, success=True),
    ]
    b = [
        played("1", WRONG),
        played("2", RIGHT, success=True),
        played("3", WRONG, task_name="math"),
        played("4", RIGHT, success=True),
    ]
    (root / "secret.txt").write_text("secret")
    write_run(root / "a", *a)
    write_run(root / "b", *b)
    with viewing(root) as found:
        yield found


def ask(server: ViewServer, path: str, **options: Any) -> requests.Response:
    headers = {"Authorization": f"Bearer {server.token}", **options.pop("headers", {})}
    return requests.get(server.base + path, headers=headers, timeout=10, **options)


PATHS = [
    "",
    "app.js",
    "app.css",
    "api/state",
    "api/rows?run=a",
    "api/episode?run=a&key=x",
    "api/events",
    "nothing",
]


@pytest.mark.parametrize("path", PATHS)
def test_nothing_is_answered_without_the_token(server: ViewServer, path: str) -> None:
    for headers in ({}, {"Authorization": "Bearer x"}, {"Cookie": "codeact-view=x"}):
        answer = requests.get(server.base + path, headers=headers, timeout=10)
        assert answer.status_code == 401, headers
    assert (
        requests.get(server.base + "api/state?token=" + server.token, timeout=10).status_code == 401
    )


def test_the_first_address_gives_a_cookie_that_no_script_and_no_other_site_has(
    server: ViewServer,
) -> None:
    with requests.Session() as session:
        first = session.get(server.address, timeout=10)
        assert first.status_code == 200
        assert {"HttpOnly", "SameSite=Strict"} <= set(first.headers["Set-Cookie"].split("; "))
        assert session.get(server.base + "api/state", timeout=10).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "", "[::1", "a@evil.example:80"]
)
def test_another_name_for_this_machine_is_refused(server: ViewServer, host: str) -> None:
    assert ask(server, "api/state", headers={"Host": host}).status_code in (400, 403)


@pytest.mark.parametrize("host", ["localhost:9", "127.0.0.1", "[::1]:80"])
def test_a_tunnel_may_have_another_port(server: ViewServer, host: str) -> None:
    assert ask(server, "api/state", headers={"Host": host}).status_code == 200


def test_another_site_may_not_ask_even_with_the_token(server: ViewServer) -> None:
    assert ask(server, "api/state", headers={"Origin": "http://evil.example"}).status_code == 403
    assert ask(server, "api/state", headers={"Origin": server.base.rstrip("/")}).status_code == 200


@pytest.mark.parametrize(
    "path",
    ["secret.txt", "../secret.txt", "..%2fsecret.txt", "page/app.js", "%2e%2e/%2e%2e/etc/passwd",
     "api/episode?run=a&key=../../secret.txt", "api/episode?run=../a&key=gsm8k/1/s/0",
     "api/rows?run=/etc", "api/pairs?a=a&b=../b"],
)  # fmt: skip
def test_no_path_outside_the_runs_is_answered(server: ViewServer, path: str) -> None:
    answer = ask(server, path)
    assert answer.status_code == 404
    assert "secret" not in answer.text.replace("secret.txt", "")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_no_method_changes_anything(server: ViewServer, method: str) -> None:
    folder = Path(server.runs.sources[0])
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    headers = {"Authorization": f"Bearer {server.token}"}
    for path in ("", "api/rows?run=a", "api/episode?run=a&key=gsm8k/1/s/0", "api/state"):
        answer = requests.request(method, server.base + path, headers=headers, timeout=10)
        assert answer.status_code == 405
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_every_answer_has_the_policy(server: ViewServer) -> None:
    for path in ("", "app.js", "api/state", "nothing"):
        policy = ask(server, path).headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "http" not in policy


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ({}, ["1", "2", "3", "4", "5"]),
        ({"task": "math"}, ["3"]),
        ({"result": "solved"}, ["1", "5"]),
        ({"result": "failed"}, ["2", "3"]),
        ({"result": "error"}, ["4"]),
        ({"cause": "provider"}, ["4"]),
        ({"cause": "provider", "result": "solved"}, []),
        ({"turns": "2"}, ["2"]),
        ({"q": "zerodivisionerror"}, ["2"]),
        ({"q": '"answer is wrong"', "task": "gsm8k"}, ["2"]),
        ({"sort": "-recorded", "limit": "2"}, ["5", "4"]),
        ({"sort": "-turns", "limit": "1"}, ["2"]),
        ({"offset": "3"}, ["4", "5"]),
    ],
)  # fmt: skip
def test_rows_are_filtered_searched_and_sorted(
    server: ViewServer, query: dict[str, str], ids: list[str]
) -> None:
    found = ask(server, "api/rows", params={"run": "a", **query}).json()
    assert [row["task_id"] for row in found["rows"]] == ids
    if not {"limit", "offset"} & query.keys():
        assert found["total"] == len(ids)


@pytest.mark.parametrize(
    "query",
    [
        {"sort": "password"},
        {"turns": "x"},
        {"turns": "9" * 30},
        {"offset": "-1"},
        {"limit": "501"},
        {"result": "x"},
    ],
)
def test_a_question_that_makes_no_sense_is_explained(
    server: ViewServer, query: dict[str, str]
) -> None:
    answer = ask(server, "api/rows", params={"run": "a", **query})
    assert answer.status_code == 400
    assert next(iter(query)) in answer.text or next(iter(query.values())) in answer.text


def test_facets_count_every_value(server: ViewServer) -> None:
    found = ask(server, "api/facets?run=a").json()
    assert found["task"] == [["gsm8k", 4], ["math", 1]]
    assert dict(found["result"]) == {"error": 1, "failed": 2, "solved": 2}
    assert found["cause"] == [["provider", 1]]


def test_an_episode_is_given_whole(server: ViewServer) -> None:
    found = ask(server, "api/episode", params={"run": "a", "key": "gsm8k/2/s/0"}).json()
    assert [turn["action"] for turn in found["turns"]] == ["execute", "propose"]
    assert found["turns"][0]["observed"][0]["text"] == "ZeroDivisionError: no"


def test_tasks_are_paired_by_digest_and_flips_told(server: ViewServer) -> None:
    found = ask(server, "api/pairs?a=a&b=b").json()
    assert found["counts"] == {"won": 1, "lost": 1, "both": 0, "neither": 1, "unpaired": 2}
    flips = {pair["task_id"]: pair["flip"] for pair in found["rows"]}
    assert flips == {"1": "lost", "2": "won", "3": "neither", "4": "unpaired", "5": "unpaired"}
    (won,) = ask(server, "api/pairs?a=a&b=b&only=won").json()["rows"]
    turned = ask(server, "api/pairs?a=b&b=a").json()["counts"]
    assert (turned["won"], turned["lost"]) == (1, 1)
    keys = {"a": "a", "key_a": won["a"][0]["key"], "b": "b", "key_b": won["b"][0]["key"]}
    both = ask(server, "api/beside", params=keys).json()
    assert (both["parts_at"], both["parts_by"]) == (1, "action")


def test_chosen_episodes_become_training_conversations(server: ViewServer) -> None:
    body = {"run": "a", "keys": ["gsm8k/1/s/0", "gsm8k/4/s/0"]}
    headers = {"Authorization": f"Bearer {server.token}"}
    answer = requests.post(
        server.base + "api/conversations", json=body, headers=headers, timeout=10
    )
    (line,) = map(json.loads, answer.text.splitlines())
    assert [one["role"] for one in line["conversations"]] == ["system", "user", "assistant"]
    assert line["conversations"][-1]["content"] == "<solution>2</solution>"
    assert answer.headers["X-Left-Out"] == "1"
    for wrong in (b"{", b"[]", b'{"run": "a", "keys": [1]}'):
        answer = requests.post(
            server.base + "api/conversations", data=wrong, headers=headers, timeout=10
        )
        assert answer.status_code == 400


async def test_two_hundred_clients_at_once_are_all_answered(server: ViewServer) -> None:
    headers = {"Authorization": f"Bearer {server.token}"}
    paths = [
        "api/rows?run=a&q=zerodivisionerror",
        "api/episode?run=a&key=gsm8k/1/s/0",
        "api/state",
        "api/pairs?a=a&b=b",
    ]

    async def one(number: int) -> int:
        connector = aiohttp.TCPConnector(force_close=True)
        # Each follows the runs, and asks meanwhile.
        async with (
            aiohttp.ClientSession(connector=connector, headers=headers) as session,
            session.get(server.base + "api/events") as events,
        ):
            assert (await events.content.readline()).startswith(b"data: ")
            async with session.get(server.base + paths[number % len(paths)]) as answer:
                await answer.read()
                return answer.status

    async with asyncio.timeout(30):
        assert await asyncio.gather(*map(one, range(200))) == [200] * 200


async def test_followers_hear_of_new_episodes(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", played("1", RIGHT, success=True))
    with viewing(folder) as server:
        headers = {"Authorization": f"Bearer {server.token}"}
        seen: list[int] = []
        async with (
            asyncio.timeout(10),
            aiohttp.ClientSession(headers=headers) as session,
            session.get(server.base + "api/events") as events,
        ):
            while not seen or seen[-1] < 2:
                line = await events.content.readline()
                if line.startswith(b"data: "):
                    seen.append(json.loads(line[6:])["runs"][0]["episodes"])
                    append(folder, played("2", WRONG))
    assert seen[0] == 1
    assert seen[-1] >= 2


def test_a_folder_of_runs_gives_each_run_and_later_ones(tmp_path: Path) -> None:
    write_run(tmp_path / "x" / "one", played("1", RIGHT))
    runs = ViewedRuns([str(tmp_path)])
    runs.refresh()
    assert [run.name for run in runs] == ["x/one"]
    write_run(tmp_path / "two", played("1", RIGHT))
    assert runs.refresh()
    assert [run.name for run in runs] == ["x/one", "two"]
    assert not runs.refresh()
    runs.close()
