"""How many attempts are in flight: a simulated server with a clock of its own, so nothing sleeps."""

import asyncio
import random
import threading
from collections.abc import Callable

import pytest

from backends.fault_server import Script, choose, questions, serving
from preceptor.backends.openai.limit import CALM, MOST, START, Limit


class Simulated:
    """A server that serves `slots` attempts at a time, each in `seconds`, and refuses more than `most` at once.

    Attempts beyond the slots wait their turn, so each takes as many rounds as there are attempts for a slot.
    """

    def __init__(self, slots: int, *, seconds: float = 1.0, most: int = 10**9) -> None:
        self.slots, self.seconds, self.most = slots, seconds, most
        self.clock = 0.0
        self.answers = self.refusals = 0

    async def rounds(self, limit: Limit, count: int, kind: str = "short", spread: float = 0.0) -> None:
        """So many times, fills the limit, lets the time pass that the attempts take, and ends them all."""
        draw = random.Random(0)
        for _ in range(count):
            entered = [await limit.enter() for _ in range(limit.now)]
            rounds = max(1.0, len(entered) / self.slots)
            self.clock += self.seconds * rounds * draw.uniform(1 - spread, 1 + spread)
            for number, at in enumerate(entered):
                if number < self.most:
                    limit.answered(kind, at)
                    self.answers += 1
                else:
                    limit.refused(at)
                    self.refusals += 1
            for _ in entered:
                limit.leave()


def settled(server: Simulated, count: int = 60, spread: float = 0.0) -> tuple[Limit, int]:
    """The limit after so many rounds, and what it was on average in the same number of further ones."""
    limit = Limit(None, clock=lambda: server.clock)

    async def run() -> list[int]:
        await server.rounds(limit, count, spread=spread)
        seen: list[int] = []
        for _ in range(count):
            await server.rounds(limit, 1, spread=spread)
            seen.append(limit.now)
        return seen

    seen = asyncio.run(run())
    return limit, round(sum(seen) / len(seen))


def test_a_server_that_answers_all_alike_gets_the_most() -> None:
    limit, average = settled(Simulated(slots=1000))
    assert limit.now == limit.most == MOST
    assert average > 0.9 * MOST  # lower only while it is measured again


@pytest.mark.parametrize("spread", [0.0, 0.3])
def test_where_answers_queue_the_limit_stays_near_what_the_server_serves_at_once(spread: float) -> None:
    limit, average = settled(Simulated(slots=20), spread=spread)
    assert 16 <= average <= 60
    assert limit.most <= 2 * 2 * 2 * 20


def test_answers_within_milliseconds_are_not_called_slow() -> None:
    _, average = settled(Simulated(slots=1, seconds=0.001))  # 50 in a queue take 50 ms
    assert 40 <= average <= 64


@pytest.mark.parametrize("most", [2, 5, 30])
def test_refusals_bring_it_below_what_the_server_takes(most: int) -> None:
    server = Simulated(slots=1000, most=most)
    limit, average = settled(server, count=100)
    assert most / 2 <= average <= most + 1
    assert server.refusals < 0.2 * server.answers + 20
    assert limit.now >= 1


def test_slow_answers_alone_leave_a_few_in_flight_and_it_recovers() -> None:
    server = Simulated(slots=1000)
    limit = Limit(None, clock=lambda: server.clock)

    async def run() -> tuple[int, int]:
        await server.rounds(limit, 10)
        server.seconds = 1e3
        await server.rounds(limit, 100)
        slow = limit.now
        server.seconds = 1.0
        await server.rounds(limit, 400)
        return slow, limit.now

    slow, recovered = asyncio.run(run())
    assert slow >= CALM
    assert recovered == MOST


def test_long_answers_are_no_sign_of_a_busy_server() -> None:
    server = Simulated(slots=1000)
    limit = Limit(None, clock=lambda: server.clock)

    async def run() -> None:
        await server.rounds(limit, 10)
        server.seconds = 60.0
        await server.rounds(limit, 10, kind="rationale")
        server.seconds = 1.0
        await server.rounds(limit, 10)

    asyncio.run(run())
    assert limit.now == MOST


def test_a_kind_of_answer_that_comes_seldom_does_not_keep_the_limit_low() -> None:
    server = Simulated(slots=1000)
    limit = Limit(None, clock=lambda: server.clock)

    async def run() -> None:
        await server.rounds(limit, 20)
        await server.rounds(limit, 2, kind="new")  # enough to be measured, but then no more of them
        assert limit.now == START
        await server.rounds(limit, 10)

    asyncio.run(run())
    assert limit.now == MOST


def test_a_limit_that_is_not_used_is_not_raised() -> None:
    limit = Limit(None)

    async def run() -> None:
        for _ in range(100):
            entered = await limit.enter()
            limit.answered("short", entered)
            limit.leave()

    asyncio.run(run())
    assert limit.now == START


def test_a_given_limit_stays_and_places_are_given_in_turn() -> None:
    limit = Limit(2)
    order: list[int] = []

    async def one(number: int, act: Callable[[float], None]) -> None:
        entered = await limit.enter()
        assert limit.in_flight <= 2
        order.append(number)
        await asyncio.sleep(0)
        act(entered)
        limit.leave()

    async def run() -> None:
        waiting = [asyncio.create_task(one(number, limit.refused)) for number in range(6)]
        await asyncio.sleep(0)
        waiting[3].cancel()
        await asyncio.gather(*waiting, return_exceptions=True)

    asyncio.run(run())
    assert order == [0, 1, 2, 4, 5]
    assert (limit.now, limit.in_flight) == (2, 0)


def test_who_is_cancelled_when_a_place_is_given_passes_it_on() -> None:
    limit = Limit(1)

    async def run() -> None:
        await limit.enter()
        second, third = asyncio.create_task(limit.enter()), asyncio.create_task(limit.enter())
        await asyncio.sleep(0)
        limit.leave()
        second.cancel()
        await third

    asyncio.run(run())
    assert limit.in_flight == 1


# ---- At a real server


def test_a_server_that_refuses_more_than_a_few_answers_all_in_the_end() -> None:
    with serving(Script(most_at_once=4), concurrency=None, retries=20) as (model, server):
        model.preflight()
        assert len(choose(model, *questions(120))) == 120
        refused = len(server.asked) - 120
        assert 0 < refused < 120


def test_callers_on_several_threads_share_the_limit() -> None:
    with serving(concurrency=3) as (model, server):
        model.preflight()
        server.most_in_flight, server.script.gathers = 0, 3
        threads = [threading.Thread(target=choose, args=(model, *questions(20))) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert server.most_in_flight == 3
