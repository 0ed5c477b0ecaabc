"""The event loop in a thread of its own: groups of coroutines, and results in batches."""

import asyncio
import threading

import pytest

from backends.fault_server import Script, questions, serving
from preceptor.backends.openai.background import Background, Group
from preceptor.core.errors import PreceptorError


async def _nothing() -> None: ...


def background() -> Background:
    return Background(_nothing)


def test_results_come_in_batches_by_number_and_errors_among_them() -> None:
    async def answer(number: int) -> int:
        if number == 2:
            raise ValueError(number)
        return 10 * number

    loop = background()
    group: Group[int] = loop.group()
    group.start([(number, lambda number=number: answer(number)) for number in range(4)])
    taken: dict[int, int | BaseException] = {}
    while group.flying:
        taken |= dict(group.take())
    assert isinstance(taken.pop(2), ValueError)
    assert taken == {0: 0, 1: 10, 3: 30}
    loop.close()


def test_what_ends_while_the_caller_is_busy_is_one_batch() -> None:
    done = threading.Event()

    async def answer(number: int) -> int:
        if number == 7:
            asyncio.get_running_loop().call_later(0, done.set)
        return number

    loop = background()
    group: Group[int] = loop.group()
    group.start([(number, lambda number=number: answer(number)) for number in range(8)])
    assert done.wait(5.0)
    assert [number for number, _ in group.take()] == list(range(8))
    loop.close()


def test_what_is_cancelled_ends_with_an_error() -> None:
    async def never() -> None:
        await asyncio.Event().wait()

    loop = background()
    group: Group[None] = loop.group()
    group.start([(0, never), (1, never)])
    group.cancel()
    taken: list[tuple[int, BaseException | None]] = []
    while group.flying:
        taken += group.take()
    assert sorted(number for number, _ in taken) == [0, 1]
    assert all(isinstance(result, asyncio.CancelledError) for _, result in taken)
    loop.close()


def test_a_model_that_is_closed_while_it_is_asked_says_so() -> None:
    with serving(Script(faults={"<0>": ["stall"]}), concurrency=1) as (model, server):
        model.preflight()
        asked = len(server.asked)

        def close() -> None:
            with server.changed:
                server.changed.wait_for(lambda: len(server.asked) > asked, timeout=5.0)
            model.close()

        closing = threading.Thread(target=close)
        closing.start()
        with pytest.raises(PreceptorError, match="was closed while it was asked"):
            list(model.choose(questions(1)))
        closing.join()


def test_a_caller_does_not_wait_for_a_loop_that_has_ended() -> None:
    async def never() -> None:
        await asyncio.Event().wait()

    loop = background()
    group: Group[None] = loop.group()
    loop.close()
    group.start([(0, never), (1, never)])
    assert [(number, type(result)) for number, result in group.take()] == [
        (0, asyncio.CancelledError),
        (1, asyncio.CancelledError),
    ]
    assert not group.flying
