"""The queue in front of a judge: it is bounded, keeps the order, and drops the items of clients that go away."""

import threading
from collections.abc import Sequence

import pytest

from preceptor.core.errors import PreceptorError
from preceptor.serve.desk import BusyError, Desk


class Judge:
    """Doubles numbers once it is let, and keeps the batches that it was asked for."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.begun = threading.Semaphore(0)
        self.let = threading.Event()

    def double(self, numbers: Sequence[int]) -> list[int]:
        self.batches.append(list(numbers))
        self.begun.release()
        assert self.let.wait(10)
        return [2 * number for number in numbers]

    def fail(self, numbers: Sequence[int]) -> list[int]:
        raise PreceptorError(f"{len(numbers)} not wanted")


def test_what_waits_for_one_thread_is_taken_at_once() -> None:
    judge, desk = Judge(), Desk(threads=1, at_once=4, room=10)
    [first] = desk.add(judge.double, [1])
    assert judge.begun.acquire(timeout=10)
    others = desk.add(judge.double, [2, 3, 4, 5, 6])
    assert (desk.waiting, desk.busy) == (5, 1)
    judge.let.set()
    assert [job.result.result(10) for job in [first, *others]] == [2, 4, 6, 8, 10, 12]
    desk.close()
    assert judge.batches == [[1], [2, 3, 4, 5], [6]]
    assert (desk.waiting, desk.busy) == (0, 0)


def test_items_of_another_kind_are_another_batch() -> None:
    judge, desk = Judge(), Desk(threads=1, at_once=4, room=10)
    [first] = desk.add(judge.double, [1])
    assert judge.begun.acquire(timeout=10)
    failing, [last] = desk.add(judge.fail, [2, 3]), desk.add(judge.double, [4])
    judge.let.set()
    with pytest.raises(PreceptorError, match="2 not wanted"):
        failing[0].result.result(10)
    assert [first.result.result(10), last.result.result(10)] == [2, 8]
    desk.close()


def test_a_full_desk_takes_all_of_a_request_or_nothing() -> None:
    judge, desk = Judge(), Desk(threads=1, at_once=1, room=2)
    desk.add(judge.double, [1])
    assert judge.begun.acquire(timeout=10)
    [waiting] = desk.add(judge.double, [2])
    with pytest.raises(BusyError) as refused:
        desk.add(judge.double, [3, 4])
    assert refused.value.wait_s == 1
    assert desk.waiting == 1
    waiting.abandon()
    assert len(desk.add(judge.double, [3, 4])) == 2
    judge.let.set()
    desk.close()
    assert judge.batches == [[1], [3], [4]]


def test_how_long_to_wait_follows_from_the_pace() -> None:
    times = iter(float(second) for second in range(100))
    judge, desk = Judge(), Desk(threads=1, at_once=1, room=20, clock=lambda: next(times))
    judge.let.set()
    for job in desk.add(judge.double, list(range(10))):  # one a second
        job.result.result(10)
    judge.let.clear()
    desk.add(judge.double, list(range(20)))
    for _ in range(11):
        assert judge.begun.acquire(timeout=10)
    with pytest.raises(BusyError) as refused:
        desk.add(judge.double, [1, 2])
    assert refused.value.wait_s == 19  # as many wait
    judge.let.set()
    desk.close()


def test_several_threads_hold_up_nobody() -> None:
    slow, quick = Judge(), Judge()
    quick.let.set()
    desk = Desk(threads=2, at_once=1, room=10)
    [held] = desk.add(slow.double, [1])
    assert [job.result.result(10) for job in desk.add(quick.double, [2, 3, 4])] == [4, 6, 8]
    assert not held.result.done()
    slow.let.set()
    desk.close()
    assert held.result.result(10) == 2
