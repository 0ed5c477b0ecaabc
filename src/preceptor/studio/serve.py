"""Runs the studio: opens its folder, prints the owner's link, and serves until it is stopped."""

import os
import secrets
import socket
from pathlib import Path

from preceptor.core.errors import PreceptorError, UsageError
from preceptor.core.extras import STUDIO, require
from preceptor.display.terminal import say
from preceptor.store.own_folder import working_in

TOKEN_VARIABLE = "PRECEPTOR_STUDIO_TOKEN"  # noqa: S105  the name, not the token
"""Environment variable with the owner's token; without it, every start makes a new one."""
_SHORTEST = 16
_LOCAL = ("127.0.0.1", "localhost", "[::1]")


def open_studio(
    *folders: str | Path,
    data: str | Path = "studio",
    host: str = "127.0.0.1",
    port: int = 8642,
    host_name: str | None = None,
) -> None:
    """Serves the studio, a web application for people, until it is interrupted.

    Examples:
        >>> open_studio("work", "runs", port=8642)  # doctest: +SKIP

    Args:
        folders: folders that preceptor wrote, or folders that hold some; the current one if none is given.
        data: the studio's own folder: `people.sqlite` holds what people say.
        host: the address to listen on. Under any address, everybody signs in by a link with a token.
        port: 0 for any free one.
        host_name: the name under which a reverse proxy passes requests on, such as "studio.example.org".

    Raises: UsageError for a folder that does not exist or a token that is too short; PreceptorError where the address
        is in use or the folder cannot be written.
    """
    require("the studio needs", *STUDIO)
    import uvicorn

    from preceptor.studio.app import application
    from preceptor.studio.context import Studio
    from preceptor.studio.database import Database
    from preceptor.studio.folders import Library
    from preceptor.studio.people.raters import ensure_owner

    given, trials = [Path(folder) for folder in folders or (".",)], Path(data) / "trials"
    Library(given)  # a folder that does not exist is refused before anything is written
    token = _token()
    with working_in(Path(data), "studio"), _listening(host, port) as listener:
        trials.mkdir(exist_ok=True)
        library = Library([*given, trials])
        people = Database(Path(data) / "people.sqlite")
        try:
            ensure_owner(people, token)
            at = f"https://{host_name}" if host_name else f"http://{_address(host)}:{listener.getsockname()[1]}"
            say(f"The studio runs at {at}. Sign in as its owner: {at}/enter/{token}")
            hosts = (*_LOCAL, *([host_name] if host_name else [])) if host in _LOCAL else None
            app = application(Studio(library, people, Path(data)), hosts=hosts)
            # Access logs would contain the tokens of invitation links.
            config = uvicorn.Config(app, log_level="warning", access_log=False, server_header=False)
            uvicorn.Server(config).run(sockets=[listener])
        finally:
            people.close()


def _token() -> str:
    token = os.environ.get(TOKEN_VARIABLE)
    if token is not None and len(token) < _SHORTEST:
        raise UsageError(f"{TOKEN_VARIABLE} has {len(token)} characters; expected {_SHORTEST} or more")
    return token or secrets.token_urlsafe(24)


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(128)  # from here on connections wait for the server in place of being refused
    except OSError as error:
        listener.close()
        raise PreceptorError(
            f"{host}:{port}: cannot be listened on: {error.strerror or error}; name another --port"
        ) from error
    return listener


def _address(host: str) -> str:
    """The host as it stands in a link."""
    if host in ("0.0.0.0", "::"):  # noqa: S104  all addresses: the machine's name reaches one of them
        return socket.gethostname()
    return f"[{host}]" if ":" in host else host
