"""What the service answers, path by path."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Generator, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from preceptor.core.errors import UsageError
from preceptor.core.types import JudgeFailure, Preference, Score
from preceptor.core.validation import first_problem
from preceptor.judging.inputs import as_prompt, as_response, comparison
from preceptor.serve import openrlhf, spans
from preceptor.serve.bodies import CompareBody, Compared, RewardBody, Rewarded, ScoreBody, Scored
from preceptor.serve.context import RefusedError, Service, service_of
from preceptor.serve.judges import ServedJudge

LARGEST_BODY = 16 << 20
"""Bytes of a request."""
Body = TypeVar("Body", bound=BaseModel)
T = TypeVar("T")
Handler: TypeAlias = Callable[[Service, Request], Awaitable[Response]]


async def compare(service: Service, request: Request) -> Response:
    """Compares two responses."""
    body = await body_of(request, CompareBody)
    judge = service.judge(body.judge)
    with _field(""):
        item = comparison(body.prompt, body.a, body.b)
    [outcome] = await _judged(service, request, judge, judge.compare, [item])
    return _answer(Compared.of(judge.name, outcome))


async def score(service: Service, request: Request) -> Response:
    """Scores one response."""
    body = await body_of(request, ScoreBody)
    judge = _scoring(service, body.judge)
    with _field(""):
        prompt = as_prompt(body.prompt)
        item = (prompt, as_response(body.response, prompt, "response"))
    [outcome] = await _judged(service, request, judge, judge.score, [item])
    return _answer(Scored.of(judge.name, outcome, judge.reward_kind))


async def reward(service: Service, request: Request) -> Response:
    """Rewards for groups of responses."""
    body = await body_of(request, RewardBody)
    judge = _scoring(service, body.judge)
    items: list[Any] = []
    for number, group in enumerate(body.groups):
        with _field(f"groups.{number}."):
            prompt = as_prompt(group.prompt)
            items += [(prompt, as_response(r, prompt, f"responses.{i}")) for i, r in enumerate(group.responses)]
    outcomes = iter(await _judged(service, request, judge, judge.score, items))
    grouped = [[next(outcomes) for _ in group.responses] for group in body.groups]
    return _answer(Rewarded.of(judge.name, grouped, judge.reward_kind))


async def remote_reward(service: Service, request: Request) -> Response:
    """Rewards in OpenRLHF's protocol. Its client names the judge in the address."""
    body = await body_of(request, openrlhf.OpenRlhfBody)
    judge = _scoring(service, request.path_params.get("judge"))
    items = openrlhf.pairs_of(body)
    outcomes = await _judged(service, request, judge, judge.score, items)
    return _answer(openrlhf.answer(outcomes, judge.reward_kind))


async def judges(service: Service, _request: Request) -> Response:
    """The judges by their names."""
    return JSONResponse({"judges": [judge.facts() for judge in service.judges.values()]})


async def health(_service: Service, _request: Request) -> Response:
    """Says that the service is there."""
    return JSONResponse({"status": "ok"})


async def metrics(service: Service, _request: Request) -> Response:
    """Numbers for Prometheus."""
    text = await asyncio.to_thread(service.metrics.text)
    return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")


async def body_of(request: Request, kind: type[Body]) -> Body:
    """The body of a request, checked.

    Raises: RefusedError for one that is too large (413), not JSON (415) or malformed (422).
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise RefusedError(415, "expected a body of the type application/json")
    if int(request.headers.get("content-length") or 0) > LARGEST_BODY:
        raise RefusedError(413, f"the body has more than {LARGEST_BODY >> 20} MiB")
    content = bytearray()
    async for part in request.stream():
        content += part
        if len(content) > LARGEST_BODY:
            raise RefusedError(413, f"the body has more than {LARGEST_BODY >> 20} MiB")
    try:
        return kind.model_validate_json(bytes(content))
    except ValidationError as error:
        field = ".".join(map(str, error.errors(include_url=False)[0]["loc"])) or None
        raise RefusedError(422, first_problem(error), field) from None


def _scoring(service: Service, name: str | None) -> ServedJudge:
    """A judge that can score a single response."""
    judge = service.judge(name)
    try:
        judge.check_scores()
    except UsageError as error:
        raise RefusedError(422, f"judge: {error}", "judge") from error
    return judge


@contextmanager
def _field(within: str) -> Generator[None]:
    """What is wrong with a prompt or a response is reported with its field."""
    try:
        yield
    except UsageError as error:
        field, _, said = str(error).partition(": ")
        raise RefusedError(422, f"{within}{field}: {said}", f"{within}{field}") from error


async def _judged(
    service: Service, request: Request, judge: ServedJudge, ask: Callable[..., list[Any]], items: Sequence[Any]
) -> list[Any]:
    """The judge's outcomes, unless the client goes away before."""
    with spans.judging(judge, items) as told:
        outcomes: list[Preference | Score | JudgeFailure] = await while_there(request, service.ask(judge, ask, items))
        told(outcomes)
    for outcome in outcomes:
        service.metrics.count(judge.name, outcome)
    return outcomes


async def while_there(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """The result of the work, which is cancelled if the client goes away before.

    Raises: ClientDisconnect if it does; whatever the work raises.
    """
    working, leaving = asyncio.ensure_future(work), asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientDisconnect
        return working.result()
    finally:
        leaving.cancel()
        working.cancel()


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _answer(body: BaseModel) -> Response:
    return Response(body.model_dump_json(), media_type="application/json")


def _route(path: str, handler: Handler, method: str) -> Route:
    async def endpoint(request: Request) -> Response:
        return await handler(service_of(request), request)

    return Route(path, endpoint, methods=[method], name=handler.__name__)


OPEN_PATHS = frozenset({"/", "/openapi.json", "/health"})
"""Paths that need no token: they say nothing about this service."""
ROUTES = (
    _route("/v1/compare", compare, "POST"),
    _route("/v1/score", score, "POST"),
    _route("/v1/reward", reward, "POST"),
    _route("/v1/openrlhf", remote_reward, "POST"),
    _route("/v1/openrlhf/{judge}", remote_reward, "POST"),
    _route("/v1/judges", judges, "GET"),
    _route("/health", health, "GET"),
    _route("/metrics", metrics, "GET"),
)
