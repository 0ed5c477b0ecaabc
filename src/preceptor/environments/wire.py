"""The messages between a pool of environments and their processes."""

import json
import socket
import struct
import time
from typing import Any

FORK, END, STOP = b"F", b"E", b"S"
"""Commands to the worker: start an episode, whose socket comes along; end an episode; end everything."""
COMMAND = struct.Struct("!cQ")
"""A command and the number of the episode."""
_LENGTH = struct.Struct("!I")
_LARGEST = 1 << 26
"""Bytes of the largest message."""


def write_message(connection: socket.socket, message: Any, deadline: float | None = None) -> None:
    """Sends a JSON value with its length before it.

    Args:
        deadline: on the monotonic clock; None waits for ever.

    Raises: TimeoutError; OSError when the other end is gone; ValueError when the value is none of JSON or too large.
    """
    body = json.dumps(message).encode("ascii")
    if len(body) > _LARGEST:
        raise ValueError(f"a message of {len(body)} bytes; expected at most {_LARGEST}")
    _be_patient(connection, deadline)
    connection.sendall(_LENGTH.pack(len(body)) + body)


def read_message(connection: socket.socket, deadline: float | None = None) -> Any | None:
    """Waits for one message; None when the other end is gone.

    Raises: TimeoutError; OSError; ValueError when what comes is no message.
    """
    header = _read(connection, _LENGTH.size, deadline)
    if header is None:
        return None
    (length,) = _LENGTH.unpack(header)
    if length > _LARGEST:
        raise ValueError(f"a message of {length} bytes; expected at most {_LARGEST}")
    body = _read(connection, length, deadline)
    return None if body is None else json.loads(body)


def _read(connection: socket.socket, length: int, deadline: float | None) -> bytes | None:
    received = bytearray()
    while len(received) < length:
        _be_patient(connection, deadline)
        more = connection.recv(min(1 << 16, length - len(received)))
        if not more:
            return None
        received += more
    return bytes(received)


def _be_patient(connection: socket.socket, deadline: float | None) -> None:
    left = None if deadline is None else deadline - time.monotonic()
    if left is not None and left <= 0:
        raise TimeoutError
    connection.settimeout(left)
