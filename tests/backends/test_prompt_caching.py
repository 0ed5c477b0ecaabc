"""Prompt tokens that a provider serves from its cache: marked where needed, counted, and paid at their price."""

import sqlite3
from pathlib import Path
from typing import Any

import pytest
from judging_examples import CONSTITUTION, compared

from backends.fault_server import Script, choose, serving
from backends.provider_server import ANTHROPIC, GEMINI, Provider, provided
from preceptor.backends.base import ChooseRequest, CompleteRequest, Price, in_order
from preceptor.backends.openai.answers import Answer
from preceptor.core.types import Message, Usage, total_usage
from preceptor.judging.pairwise import PairwiseJudge
from preceptor.judging.settings import variant
from preceptor.store.call_rows import Call
from preceptor.store.calls import calls_by_role, in_words
from preceptor.store.ledger import Ledger
from preceptor.store.migrations import MIGRATIONS, migrate

ASKED = ChooseRequest((Message(role="user", content="Rules\n\n<prompt>\nWhich?\n</prompt>"),), ("1", "2"))


def test_cached_tokens_have_their_price() -> None:
    usage = Usage(prompt_tokens=1000, completion_tokens=100, cached_tokens=600, cache_writes=200)
    assert Price(2.0, 8.0).cost(usage) == pytest.approx(0.0028)
    # 200 at $2, 600 at $0.50, 200 at $2.50 and 100 at $8 for a million
    assert Price(2.0, 8.0, cached=0.5, cache_write=2.5).cost(usage) == pytest.approx(0.002)
    assert total_usage([usage, usage]).cached_tokens == 1200
    with pytest.raises(ValueError, match="a price is a number"):
        Price(2.0, 8.0, cached=-1.0)


@pytest.mark.parametrize(
    ("details", "cached"),
    [
        ({"cached_tokens": 30}, 30),
        ({"cached_tokens": 99}, 40),
        ({"cached_tokens": -3}, 0),
        ({"cached_tokens": "30"}, 0),
        ({}, 0),
        (None, 0),
        ("many", 0),
    ],
)
def test_a_server_s_count_is_taken_if_it_can_be_one(details: Any, cached: int) -> None:
    said = {"choices": [{"text": "1"}], "usage": {"prompt_tokens": 40, "completion_tokens": 1}}
    said["usage"] |= {"prompt_tokens_details": details}  # type: ignore[operator]
    usage = Answer.model_validate(said).usage(Usage())
    assert usage == Usage(prompt_tokens=40, completion_tokens=1, cached_tokens=cached)


def test_what_an_openai_server_serves_from_its_cache_is_counted() -> None:
    with serving(
        Script(
            faults={
                "Which": [
                    'usage {"prompt_tokens": 20, "completion_tokens": 1, '
                    '"prompt_tokens_details": {"cached_tokens": 16}}'
                ]
            }
        )
    ) as (model, server):
        model.preflight()
        assert choose(model, ASKED)[0].usage.cached_tokens == 16
        assert "cache_control" not in str(server.asked)


def test_anthropic_s_cache_is_marked_counted_and_paid_for() -> None:
    with provided(ANTHROPIC, Provider(cached=30, written=50)) as (model, server):
        usage = choose(model, ASKED)[0].usage
        blocks = server.bodies[-1]["messages"][0]["content"]
    # Each of the 4 votes: 20 plain tokens, 30 from the cache, 50 to it.
    assert usage == Usage(prompt_tokens=400, completion_tokens=4, cached_tokens=120, cache_writes=200)
    price = Price(3.0, 15.0, cached=0.3, cache_write=3.75)
    assert model.price == price
    assert price.cost(usage) == pytest.approx((80 * 3.0 + 120 * 0.3 + 200 * 3.75 + 4 * 15.0) / 1e6)
    assert [block["text"] for block in blocks] == ["Rules", "\n\n<prompt>\nWhich?\n</prompt>"]
    assert all(block["cache_control"] == {"type": "ephemeral"} for block in blocks)  # the votes repeat the whole


def test_what_is_asked_once_has_only_its_beginning_marked() -> None:
    with provided(ANTHROPIC) as (model, server):
        in_order(model.complete([CompleteRequest(ASKED.prompt, 8)]), 1)
        marks = ["cache_control" in block for block in server.bodies[-1]["messages"][0]["content"]]
    assert marks == [True, False]


def test_what_gemini_serves_from_its_cache_is_counted() -> None:
    with provided(GEMINI, Provider(cached=30)) as (model, server):
        assert choose(model, ASKED)[0].usage == Usage(prompt_tokens=200, completion_tokens=4, cached_tokens=120)
        assert "cache_control" not in str(server.bodies)


def test_a_judge_s_constitution_and_exemplars_are_what_is_marked(tmp_path: Path) -> None:
    with provided(ANTHROPIC) as (model, server), Ledger(tmp_path / "l.sqlite") as ledger:
        judge = PairwiseJudge(model, CONSTITUTION, variant("1-shot"), ledger)
        judge.compare([compared("a", "b")])
        contents = [body["messages"][0]["content"] for body in server.bodies[1:]]
    assert len({content[0]["text"] for content in contents}) == 1  # the same for both orders
    assert "x1" in contents[0][0]["text"]
    assert len({content[1]["text"] for content in contents}) == 2
    assert contents[0][1]["text"].startswith("\n\n<prompt>\n")


def _call(prompt: str, cached: int, *, transient: bool = False) -> Call:
    more: dict[str, Any] = {"cost_usd": 0.5, "cached_tokens": cached, "transient": transient}
    return Call("choose", "m", {}, {"prompt": prompt}, {}, False, 40, 1, **more)


def test_totals_show_cached_tokens(tmp_path: Path) -> None:
    path = tmp_path / "l.sqlite"
    with Ledger(path) as ledger:
        ledger.record([_call("a", 30), _call("b", 0), _call("c", 8, transient=True)])
        assert (ledger.totals().cached_tokens, ledger.totals().prompt_tokens) == (38, 120)
    assert calls_by_role([path])["judge"].cached_tokens == 38
    assert "123 tokens (38 from a cache)" in in_words(path)


@pytest.mark.parametrize("version", [1, 2, 3])
def test_ledgers_of_earlier_versions_are_read_and_go_on(tmp_path: Path, version: int) -> None:
    path = tmp_path / "l.sqlite"
    connection = sqlite3.connect(path)
    migrate(connection, MIGRATIONS[:version])
    old = _call("a", 0)
    values = (old.key, "choose", "m", "{}", '{"prompt":"a"}', "{}", 0, 40, 1, "2026-01-01", *[0.5, 0][: version - 1])
    connection.execute(f"INSERT INTO calls VALUES ({','.join('?' * len(values))})", values)
    connection.commit()
    connection.close()
    if version > 1:  # before, calls had no cost
        assert calls_by_role([path])["judge"].cached_tokens == 0
    with Ledger(path) as ledger:
        ledger.record([_call("b", 30)])
        assert ledger.find([old.key]) == {old.key: {}}
        assert (ledger.totals().calls, ledger.totals().cached_tokens) == (2, 30)
