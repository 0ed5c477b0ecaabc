"""Runs the studio: opens its folder, prints the owner's link, and serves until it is stopped."""

import secrets
from pathlib import Path

from preceptor.core.extras import STUDIO, require
from preceptor.core.listening import LOCAL_NAMES, in_a_link, is_local, listening, token_in
from preceptor.display.terminal import say
from preceptor.store.own_folder import working_in

TOKEN_VARIABLE = "PRECEPTOR_STUDIO_TOKEN"  # noqa: S105  the name, not the token
"""Environment variable with the owner's token; without it, every start makes a new one."""


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
    from preceptor.studio.log import print_log
    from preceptor.studio.people.raters import ensure_owner

    given, trials = [Path(folder) for folder in folders or (".",)], Path(data) / "trials"
    Library(given)  # a folder that does not exist is refused before anything is written
    token = token_in(TOKEN_VARIABLE) or secrets.token_urlsafe(24)
    with working_in(Path(data), "studio"), listening(host, port) as listener:
        trials.mkdir(exist_ok=True)
        library = Library([*given, trials])
        people = Database(Path(data) / "people.sqlite")
        try:
            ensure_owner(people, token)
            at = f"https://{host_name}" if host_name else f"http://{in_a_link(host)}:{listener.getsockname()[1]}"
            say(f"The studio runs at {at}. Sign in as its owner: {at}/enter/{token}")
            hosts = (*LOCAL_NAMES, *([host_name] if host_name else [])) if is_local(host) else None
            print_log()
            app = application(Studio(library, people, Path(data)), hosts=hosts)
            # Access logs would contain the tokens of invitation links.
            config = uvicorn.Config(app, log_level="warning", access_log=False, server_header=False)
            uvicorn.Server(config).run(sockets=[listener])
        finally:
            people.close()
