"""Failures, the budget, the queue and the token: what a client sees when something is wrong."""

import asyncio
import base64
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from starlette.testclient import TestClient

from backends.fault_server import TABLE, FaultServer, Script
from preceptor.core.errors import PreceptorError, UsageError
from preceptor.serve.app import application
from preceptor.serve.desk import Desk
from preceptor.serve.judges import named_judges
from preceptor.serve.service import open_service
from serve_small import SKY, client, service

JUDGE = {
    **TABLE,
    "Preferred response:": {" 1": 0.6, " 2": 0.4},
    "Final score:": {**{f" {score}": 0.124 for score in range(2, 10)}, "A": 0.008},
}
KEY = "a-key-that-nobody-may-see"
TOKEN = "a token that is long enough"
QUICK = {"first_wait_s": 0.001, "retries": 2, "concurrency": 1}


@pytest.fixture(autouse=True)
def _no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PRECEPTOR_API_KEY", raising=False)


@contextmanager
def served(
    tmp_path: Path, server: FaultServer, budget: float | None = None, **connection: object
) -> Generator[TestClient]:
    """A client of a service whose judge is behind this server."""
    with client(tmp_path, f"openai:tiny@{server.url}", budget=budget, connection={**QUICK, **connection}) as asked:
        yield asked


def test_a_failure_is_null_with_its_reason_beside_what_did_not_fail(tmp_path: Path) -> None:
    group = {"prompt": "Say hi.", "responses": ["Hi.", "<bad>", "Hello."]}
    with FaultServer(Script(table=JUDGE)) as server, served(tmp_path, server) as asked:
        server.script.faults = {"<bad>": ["too_long"]}
        answer = asked.post("/v1/reward", json={"groups": [group]}).json()["groups"][0]
        server.script.faults = {"<bad>": ["500"] * 9}
        failed = asked.post("/v1/compare", json={**SKY, "a": "<bad>"}).json()
    assert answer["rewards"] == [pytest.approx(0.0, abs=0.02), None, pytest.approx(0.0, abs=0.02)]  # 5.5 of 10
    assert [failure and failure["reason"] for failure in answer["failures"]] == [None, "prompt_too_long", None]
    assert not answer["failures"][1]["transient"]
    assert (failed["p_a"], failed["preferred"], failed["failure"]["reason"]) == (None, None, "backend_error")
    assert failed["failure"]["transient"]


def test_no_key_is_in_any_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRECEPTOR_API_KEY", KEY)
    with FaultServer(Script(table=JUDGE, key=KEY)) as server, served(tmp_path, server) as asked:
        server.script.faults = {"Rayleigh": ["418"]}  # the server repeats the key
        failed = asked.post("/v1/compare", json=SKY)
        server.script.key = "another"
        refused = asked.post("/v1/compare", json={**SKY, "a": "Because of the sea."})
    assert failed.json()["failure"]["reason"] == "refused"
    assert (refused.status_code, refused.headers["retry-after"]) == (502, "10")
    assert "refuses the key" in refused.json()["error"]
    assert KEY not in failed.text + refused.text


def test_when_the_budget_is_spent_what_is_on_record_is_still_answered(tmp_path: Path) -> None:
    prices = tmp_path / "prices.toml"
    prices.write_text("[tiny]\nprompt = 1e6\ncompletion = 1e6\n")  # a dollar for each token
    with FaultServer(Script(table=JUDGE)) as server, served(tmp_path, server, budget=9000.0, prices=prices) as asked:
        answers = [asked.post("/v1/compare", json={**SKY, "b": f"No. {i}"}) for i in range(9)]
        codes = [answer.status_code for answer in answers]
        spent = codes.index(402)
        assert spent > 0
        assert set(codes[spent:]) == {402}
        assert "budget" in answers[spent].json()["error"]
        assert asked.post("/v1/compare", json={**SKY, "b": "No. 0"}).json() == answers[0].json()


def test_a_full_queue_says_when_to_come_again(tmp_path: Path) -> None:
    async def ask_four(app: object, server: FaultServer, desk: Desk) -> list[httpx.Response]:
        transport = httpx.ASGITransport(app)  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as asked:
            first = asyncio.create_task(asked.post("/v1/compare", json=SKY))
            await asyncio.to_thread(_until_asked, server, "Rayleigh")
            second = asyncio.create_task(asked.post("/v1/compare", json={**SKY, "a": "Waits."}))
            while not desk.waiting:
                await asyncio.sleep(0)
            third = await asked.post("/v1/compare", json={**SKY, "a": "Too late."})
            large = await asked.post("/v1/reward", json={"groups": [{"prompt": "x", "responses": ["y", "z"]}]})
            return [await first, await second, third, large]

    with FaultServer(Script(table=JUDGE)) as server:
        judge = f"openai:tiny@{server.url}"
        with service(tmp_path, judge, connection={**QUICK, "timeout_s": 1.0}, queue=1) as opened:
            server.script.faults = {"Rayleigh": ["stall"]}
            desk = opened.desks[judge]
            first, second, third, large = asyncio.run(ask_four(application(opened), server, desk))
    assert (first.status_code, second.status_code) == (200, 200)
    assert (third.status_code, third.headers["retry-after"]) == (429, "1")
    assert (large.status_code, large.json()["field"]) == (422, None)


def _until_asked(server: FaultServer, word: str) -> None:
    with server.changed:
        assert server.changed.wait_for(lambda: word in str(server.asked), timeout=10)


def test_equal_questions_in_flight_are_asked_once(tmp_path: Path) -> None:
    async def ask_many(app: object) -> list[httpx.Response]:
        transport = httpx.ASGITransport(app)  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as asked:
            swapped = {**SKY, "a": SKY["b"], "b": SKY["a"]}
            return list(await asyncio.gather(*(asked.post("/v1/compare", json=body) for body in 8 * [SKY, swapped])))

    with FaultServer(Script(table=JUDGE)) as server:
        with service(tmp_path, f"openai:tiny@{server.url}", connection={"concurrency": 16}) as opened:
            before = len(server.asked)
            answers = asyncio.run(ask_many(application(opened)))
        assert len(server.asked) - before == 2  # one for each order
    assert [answer.json()["p_a"] for answer in answers] == [pytest.approx(0.5)] * 16


def test_who_has_no_token_is_not_let_in(tmp_path: Path) -> None:
    by_password = base64.b64encode(f":{TOKEN}".encode()).decode()
    with client(tmp_path, token=TOKEN) as asked:
        assert asked.get("/health").status_code == asked.get("/").status_code == 200
        for wrong in ({}, {"authorization": "Bearer wrong"}, {"authorization": "Basic !"}, {"authorization": TOKEN}):
            assert asked.post("/v1/compare", json=SKY, headers=wrong).status_code == 401
            assert asked.get("/metrics", headers=wrong).status_code == 401
        for right in (f"Bearer {TOKEN}", f"Basic {by_password}"):
            assert asked.post("/v1/compare", json=SKY, headers={"authorization": right}).status_code == 200


def test_a_page_of_another_site_is_not_let_in(tmp_path: Path) -> None:
    with client(tmp_path) as asked:
        assert asked.post("/v1/compare", json=SKY, headers={"host": "evil.example"}).status_code == 403
        assert asked.post("/v1/compare", json=SKY, headers={"host": "127.0.0.1:8643"}).status_code == 200


def test_beyond_this_machine_a_token_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PRECEPTOR_SERVICE_TOKEN", raising=False)
    with pytest.raises(UsageError, match="PRECEPTOR_SERVICE_TOKEN"):
        open_service("scripted:random", host="0.0.0.0", data=tmp_path / "service")
    monkeypatch.setenv("PRECEPTOR_SERVICE_TOKEN", "short")
    with pytest.raises(UsageError, match="5 characters; expected 16 or more"):
        open_service("scripted:random", data=tmp_path / "service")
    assert not (tmp_path / "service").exists()


def test_judges_that_cannot_be_served(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match='two judges are called "helpful"'):
        named_judges(["scripted:random", "scripted:first"])
    with pytest.raises(UsageError, match="no model"):
        named_judges("x=unknown-model")
    with pytest.raises(UsageError, match="a name of letters"):
        named_judges({"a b": "scripted:random"})
    with pytest.raises(UsageError, match="no judge is named"):
        named_judges([])
    with (
        pytest.raises(PreceptorError, match="no connection"),
        client(tmp_path, "openai:tiny@http://127.0.0.1:9/v1", connection=QUICK),
    ):
        pass


def test_a_file_of_judges(tmp_path: Path) -> None:
    path = tmp_path / "judges.toml"
    path.write_text(
        '[[judges]]\nname = "kind"\nmodel = "scripted:random"\nconstitution = "harmless"\nvariant = "detailed+single"\n'
        '[[judges]]\nmodel = "scripted:first"\n'
    )
    named = named_judges(path)
    assert [(name, spec.model, spec.way) for name, spec in named.items()] == [
        ("kind", "scripted:random", "detailed+single"),
        ("helpful", "scripted:first", "detailed"),
    ]
    path.write_text('[[judges]]\nname = "kind"\nmodle = "scripted:random"\n')
    with pytest.raises(UsageError, match=r'judges\.toml: unknown key "judges.0.modle"; did you mean "model"'):
        named_judges(path)


def test_beyond_all_queues_requests_are_not_even_read(tmp_path: Path) -> None:
    async def ask(app: object) -> list[int]:
        transport = httpx.ASGITransport(app)  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as asked:
            answers = await asyncio.gather(*(asked.post("/v1/compare", content=b"no JSON") for _ in range(300)))
            assert (await asked.get("/health")).status_code == 200
            return [answer.status_code for answer in answers]

    with service(tmp_path, "scripted:random", queue=1) as opened:
        codes = asyncio.run(ask(application(opened)))
    assert set(codes) == {415, 429}
    assert codes.count(415) >= 257
