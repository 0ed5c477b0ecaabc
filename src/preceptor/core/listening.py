"""What every server of preceptor needs before it starts: a socket, a token, and the names under which it is reached."""

import os
import socket

from preceptor.core.errors import PreceptorError, UsageError

LOCAL_NAMES = ("127.0.0.1", "localhost", "[::1]")
"""Names of this machine in the header `Host`. A request under another name comes from a page of another site."""
SHORTEST_TOKEN = 16
"""Characters; a shorter token can be guessed."""


def listening(host: str, port: int) -> socket.socket:
    """A socket that takes connections: from now on they wait for the server and are not refused.

    Args:
        port: 0 for any free one.

    Raises: PreceptorError where the address is in use or is not this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(1024)
    except OSError as error:
        listener.close()
        raise PreceptorError(
            f"{host}:{port}: cannot be listened on: {error.strerror or error}; name another --port"
        ) from error
    return listener


def in_a_link(host: str) -> str:
    """The host as it stands in a link."""
    if host in ("0.0.0.0", "::"):  # noqa: S104  all addresses: the machine's name reaches one of them
        return socket.gethostname()
    return f"[{host}]" if ":" in host else host


def is_local(host: str) -> bool:
    """Whether only this machine can reach the address."""
    return host in LOCAL_NAMES or host == "::1"


def without_port(host: str) -> str:
    """The header `Host` without its port; an IPv6 address keeps its brackets."""
    return host if host.endswith("]") else host.rsplit(":", 1)[0]


def token_in(variable: str) -> str | None:
    """The token in an environment variable; None if it is not set.

    Raises: UsageError for a token that is too short.
    """
    token = os.environ.get(variable)
    if token is not None and len(token) < SHORTEST_TOKEN:
        raise UsageError(f"{variable} has {len(token)} characters; expected {SHORTEST_TOKEN} or more")
    return token
