"""Work on several cores at once: order, modes, errors."""

import sys
import threading
from collections.abc import Iterator
from concurrent.futures import wait
from types import FunctionType

import pytest
import torch

from preceptor.backends.transformers.cores import side_by_side, workers

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def four_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


def test_results_come_in_order_and_work_is_done_at_once() -> None:
    met = threading.Barrier(4, timeout=20.0)
    ended = [threading.Event() for _ in range(5)]
    ended[4].set()

    def work(item: int) -> int:
        met.wait()  # nobody gets past it alone
        assert ended[item + 1].wait(20.0)  # the last one ends first
        ended[item].set()
        return item * item

    assert list(side_by_side(CPU, work, range(4))) == [0, 1, 4, 9]


def test_a_worker_has_its_share_of_the_threads_and_no_workers_of_its_own() -> None:
    seen = list(side_by_side(CPU, lambda _: (torch.get_num_threads(), workers(CPU)), range(2)))
    assert seen == [(2, 1), (2, 1)]
    assert (torch.get_num_threads(), workers(CPU), workers(torch.device("cuda"))) == (4, 4, 1)
    fresh: list[int] = []
    thread = threading.Thread(target=lambda: fresh.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert fresh == [4]


def test_modes_are_those_of_the_caller() -> None:
    def modes(_: int) -> tuple[bool, bool, bool, torch.dtype]:
        product = torch.ones(2, 2) @ torch.ones(2, 2)
        return (
            torch.is_grad_enabled(),
            torch.is_inference_mode_enabled(),
            torch.is_autocast_enabled("cpu"),
            product.dtype,
        )

    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        assert set(side_by_side(CPU, modes, range(2))) == {(False, False, True, torch.bfloat16)}
    with torch.inference_mode():
        assert set(side_by_side(CPU, modes, range(2))) == {(False, True, False, torch.float32)}
    assert set(side_by_side(CPU, modes, range(2))) == {(True, False, False, torch.float32)}


def is_inside(thread: threading.Thread, function: FunctionType) -> bool:
    """Whether a thread is in a call of a function."""
    frame = sys._current_frames().get(thread.ident or 0)  # pyright: ignore[reportPrivateUsage]
    while frame is not None and frame.f_code is not function.__code__:
        frame = frame.f_back
    return frame is not None


def test_an_error_is_raised_when_what_was_begun_has_ended() -> None:
    begun: list[int] = []
    ended: list[int] = []
    errors: list[ValueError] = []
    released = threading.Event()

    def work(item: int) -> None:
        begun.append(item)
        if item == 0:
            raise ValueError("the first fails")
        assert released.wait(60.0)
        ended.append(item)

    def consume() -> None:
        try:
            list(side_by_side(CPU, work, range(20)))
        except ValueError as error:
            errors.append(error)

    consumer = threading.Thread(target=consume)
    consumer.start()
    assert isinstance(wait, FunctionType)
    while not is_inside(consumer, wait):  # then all that had not begun is cancelled
        consumer.join(0.01)
        assert consumer.is_alive()
    assert not errors
    released.set()
    consumer.join(60.0)
    assert len(errors) == 1
    assert sorted(begun) == [0, *sorted(ended)]
    assert len(begun) <= 5  # four workers, and the one of the item that failed takes another
