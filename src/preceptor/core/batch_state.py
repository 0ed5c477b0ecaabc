"""What is known of a batch of calls, on disk and in the process that waits for it."""

from preceptor.core.types import Frozen


class BatchState(Frozen):
    """Where a batch is."""

    path: str
    """Of its calls at the server, for instance "/chat/completions"."""
    id: str | None
    """Its id at the server; None before the server has it."""
    status: str
    """"written" on disk only; afterwards as the server calls it."""
    mark: str = ""
    """By which the server's list of batches shows that this one was created."""
