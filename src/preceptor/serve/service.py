"""Runs the service: opens judges and ledger, and serves until it is stopped."""

import socket
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from preceptor.backends.base import LanguageModel
from preceptor.backends.connection import Connection
from preceptor.backends.resolve import open_model
from preceptor.core.errors import UsageError
from preceptor.core.extras import SERVE, require
from preceptor.core.listening import LOCAL_NAMES, in_a_link, is_local, listening, token_in
from preceptor.core.validation import check_count, check_dollars, settings_of
from preceptor.display.terminal import say
from preceptor.judging.constitution import load_constitution
from preceptor.judging.judge import Judge
from preceptor.judging.kept import keep_constitutions
from preceptor.judging.specs import JudgeSpec, check_prices
from preceptor.store.files import write_json
from preceptor.store.ledger import Ledger
from preceptor.store.own_folder import working_in

if TYPE_CHECKING:
    from starlette.applications import Starlette

    from preceptor.serve.context import Service
    from preceptor.serve.desk import Desk

TOKEN_VARIABLE = "PRECEPTOR_SERVICE_TOKEN"  # noqa: S105  the name, not the token
"""Environment variable with the token that clients must send."""
LEDGER = "ledger.sqlite"
_KEPT_OPEN_S = 75
"""Seconds without a request after which a connection is closed; longer than the clients of trainers keep theirs."""


def open_service(
    judges: Mapping[str, Judge | JudgeSpec | str] | Sequence[str | Path] | str | Path,
    *,
    data: str | Path = "service",
    host: str = "127.0.0.1",
    port: int = 8643,
    connection: Connection | Mapping[str, Any] | None = None,
    budget: float | None = None,
    queue: int = 1024,
) -> None:
    """Serves judges over HTTP until it is interrupted. What was accepted is answered first.

    Examples:
        >>> open_service({"kind": Judge("openai:gpt-4o-mini", "helpful")}, budget=20)  # doctest: +SKIP

    Args:
        judges: by name; or texts of the form `[NAME=]MODEL[:CONSTITUTION[:VARIANT]]`, or .toml files of `[[judges]]`.
        data: the service's own folder, with the ledger of all calls. Started again, it pays for nothing twice.
        host: the address to listen on. Beyond this machine, the environment must hold PRECEPTOR_SERVICE_TOKEN.
        port: 0 for any free one.
        connection: settings of the connection to model servers, for all clients together.
        budget: most dollars that all calls in the ledger may cost.
        queue: most comparisons and scores that wait for one model; requests beyond them are told to come again.

    Raises: UsageError for an unknown judge, or an address beyond this machine without a token; PreceptorError where the
        address is in use, a model cannot be opened, or the folder cannot be written.
    """
    require("the service needs", *SERVE)
    from preceptor.serve import spans
    from preceptor.serve.app import application
    from preceptor.serve.judges import named_judges

    specs = named_judges(judges)
    reached = settings_of("connection", Connection, connection)
    check_dollars("budget", budget)
    check_count("queue", queue)
    token = _token(host)
    with ExitStack() as open_until_the_end:
        enter = open_until_the_end.enter_context
        enter(working_in(Path(data), "service"))
        service = enter(serving(specs, Path(data) / LEDGER, reached, budget, queue, token))
        keep_constitutions(Path(data), (judge.constitution for judge in service.judges.values()))
        write_json(Path(data) / "service.json", {"judges": [judge.facts() for judge in service.judges.values()]})
        if end := spans.trace():
            open_until_the_end.callback(end)
        listener = enter(listening(host, port))
        at = f"http://{in_a_link(host)}:{listener.getsockname()[1]}"
        say(f"The service runs at {at} with the judges {', '.join(specs)}.")
        sys.stdout.flush()  # now, also where the output goes to a file
        _serve(application(service, hosts=LOCAL_NAMES if is_local(host) else None), listener)


def _token(host: str) -> str | None:
    """The token that clients must send; None where only this machine reaches the service.

    Raises: UsageError where it is needed and not set.
    """
    token = token_in(TOKEN_VARIABLE)
    if token is None and not is_local(host):
        raise UsageError(
            f"{host} can be reached from other machines: set {TOKEN_VARIABLE} to a token that clients send, such as "
            "$(openssl rand -hex 24), or leave out --host"
        )
    return token


def _serve(app: "Starlette", listener: socket.socket) -> None:
    """Answers requests until a signal; what has been accepted is answered before this returns."""
    import uvicorn

    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_keep_alive=_KEPT_OPEN_S,
        lifespan="off",
    )
    uvicorn.Server(config).run(sockets=[listener])


@contextmanager
def serving(
    specs: Mapping[str, JudgeSpec],
    ledger: Path,
    connection: Connection | None = None,
    budget: float | None = None,
    queue: int = 1024,
    token: str | None = None,
) -> Generator["Service"]:
    """The service's state with everything open; closed at the end, once what is waiting is answered.

    Raises: UsageError when a judge cannot be asked like this; PreceptorError when a model cannot be opened.
    """
    from preceptor.serve.context import Service
    from preceptor.serve.judges import ServedJudge
    from preceptor.serve.metrics import Metrics, State

    for spec in specs.values():
        load_constitution(spec.constitution)
    with ExitStack() as closing:
        models: dict[str, LanguageModel] = {}
        for spec in specs.values():
            if spec.model not in models:
                model = models[spec.model] = open_model(spec.model, connection)
                close: Any = getattr(model, "close", None)
                if close is not None:
                    closing.callback(close)
        check_prices(budget, list(models.values()))
        opened = closing.enter_context(Ledger(ledger, budget))
        judges = {name: ServedJudge(name, spec, models[spec.model], opened) for name, spec in specs.items()}
        desks = {name: _desk(model, queue) for name, model in models.items()}
        metrics = Metrics()
        metrics.registry.register(State(judges, desks, opened))
        service = Service(judges, desks, opened, metrics, token)
        closing.callback(service.close)
        yield service


def _desk(model: LanguageModel, queue: int) -> "Desk":
    from preceptor.serve.desk import Desk

    if hasattr(model, "close"):  # behind a server: one item a thread, so that a slow answer holds up nobody else
        return Desk(threads=model.concurrency, at_once=1, room=queue)
    return Desk(threads=1, at_once=4 * model.concurrency, room=queue)
