"""The processes of one `accelerate launch`, or a single process.

Training is data-parallel: every process holds the model, computes the gradient of its part of each batch, and takes
part in one sum of all gradients. Only the main process works on files and asks judges; the others receive the results.
"""

import os
import pickle
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from typing import Any, TypeVar, cast

import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list, gather_object
from torch import Tensor

from preceptor.core.errors import PreceptorError

T = TypeVar("T")

OF_MAIN = "raised by the main process"
"""Marks errors in the other processes, which need not be printed again."""
PATIENCE = timedelta(days=7)
"""How long processes wait for each other. It is long because one of them judges while the others wait."""


class Processes:
    """The processes that train together. With a single process, these methods cost no time."""

    def __init__(self) -> None:
        self._state = PartialState(cpu=not torch.cuda.is_available(), timeout=PATIENCE)

    @property
    def count(self) -> int:
        """The number of processes."""
        return int(self._state.num_processes)

    @property
    def index(self) -> int:
        """The index of this process, from 0."""
        return int(self._state.process_index)

    @property
    def is_main(self) -> bool:
        """Whether this is the process that judges, writes and reports progress."""
        return self.index == 0

    def on_main(self, work: Callable[[], T]) -> T:
        """Runs `work` on the main process only; all processes wait, and then return or raise its result."""
        if self.count == 1:
            return work()
        said: list[Any] = [None, None]
        raised: BaseException | None = None
        if self.is_main:
            try:
                said[0] = work()
            except BaseException as error:  # sent to the others, which would wait for ever, and raised by all
                raised, said[1] = error, _sendable(error)
        broadcast_object_list(said)
        if raised is not None:
            raise raised
        if said[1] is not None:
            said[1].add_note(OF_MAIN)
            raise said[1]
        return cast("T", said[0])

    def part(self, items: Sequence[T]) -> list[T]:
        """This process's part of a batch: contiguous, possibly empty. The sizes of parts differ by at most one."""
        bounds = [len(items) * i // self.count for i in (self.index, self.index + 1)]
        return list(items[bounds[0] : bounds[1]])

    def gather(self, part: Sequence[T]) -> list[T]:
        """The whole batch, in order, from the parts of all processes."""
        if self.count == 1:
            return list(part)
        return cast("list[T]", gather_object(list(part)))

    def sum_gradients(self, parameters: Iterable[Tensor]) -> None:
        """Replaces each gradient by its sum over the processes. A missing gradient counts as 0."""
        if self.count == 1:
            return
        listed = list(parameters)
        flat = torch.cat([(p.grad if p.grad is not None else torch.zeros_like(p)).flatten().float() for p in listed])
        torch.distributed.all_reduce(flat)
        for parameter, grad in zip(listed, flat.split([p.numel() for p in listed]), strict=True):
            parameter.grad = grad.view_as(parameter).to(parameter.dtype)


def leave(code: int = 0) -> None:
    """Ends this process at once if it is one of several; does nothing in a single process.

    The threads of a process group may outlive the interpreter and then abort a finished process (SIGABRT), so the
    interpreter's own shutdown is skipped.
    """
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return
    torch.distributed.destroy_process_group()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)


def _sendable(error: BaseException) -> BaseException:
    """The error itself, or its message if it cannot be sent to another process: not all errors can be pickled."""
    try:
        return cast("BaseException", pickle.loads(pickle.dumps(error)))  # noqa: S301  our own, from a line above
    except Exception:
        return PreceptorError(f"the main process failed: {type(error).__name__}: {error}")
