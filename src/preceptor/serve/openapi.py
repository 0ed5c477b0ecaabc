"""The description of the service for programs (OpenAPI) and for people. Both are made here; nothing is loaded from
elsewhere.
"""

import json
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from typing import Any

from markupsafe import Markup
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from preceptor.serve.bodies import CompareBody, Compared, Problem, RewardBody, Rewarded, ScoreBody, Scored
from preceptor.serve.openrlhf import OpenRlhfBody, OpenRlhfRewards
from preceptor.store.documents import html_environment

_REFERENCES = "#/components/schemas/{model}"
_POSTS: dict[str, tuple[str, type[BaseModel], type[BaseModel], dict[str, Any]]] = {
    "/v1/compare": (
        "Which of two responses is better",
        CompareBody,
        Compared,
        {"prompt": "Why is the sky blue?", "a": "Rayleigh scattering.", "b": "Because."},
    ),
    "/v1/score": (
        "How good one response is",
        ScoreBody,
        Scored,
        {"prompt": "Why is the sky blue?", "response": "Rayleigh scattering."},
    ),
    "/v1/reward": (
        "Rewards for the responses of a training step: each group gets rewards and failures, response by response",
        RewardBody,
        Rewarded,
        {"groups": [{"prompt": "Why is the sky blue?", "responses": ["Rayleigh scattering.", "Because."]}]},
    ),
    "/v1/openrlhf/{judge}": (
        "Rewards in OpenRLHF's protocol; /v1/openrlhf asks the only judge there is",
        OpenRlhfBody,
        OpenRlhfRewards,
        {"query": ["Why is the sky blue? Because."], "prompts": ["Why is the sky blue?"], "labels": [None]},
    ),
}
_GETS = {
    "/v1/judges": "The judges by their names",
    "/health": "Whether the service is there; needs no token",
    "/metrics": "Numbers for Prometheus",
}
ERRORS = {
    401: "The token is missing or wrong.",
    402: "The budget is spent.",
    404: "There is no such judge.",
    413: "The body is too large.",
    415: "The body is not of the type application/json.",
    422: "The body is malformed; the answer names the field.",
    429: "The queue is full; ask again after the seconds in Retry-After.",
    502: "The judge's model cannot be asked.",
    503: "OpenRLHF's protocol only: the judge failed, and asking again may help.",
}
"""The statuses of answers without a result."""


@cache
def description() -> dict[str, Any]:
    """The OpenAPI description."""
    kinds = [kind for _, body, answer, _ in _POSTS.values() for kind in (body, answer)]
    _, schemas = models_json_schema([(kind, "validation") for kind in (*kinds, Problem)], ref_template=_REFERENCES)
    paths: dict[str, Any] = {path: {"post": _post(path)} for path in _POSTS}
    paths |= {
        path: {"get": {"summary": summary, "responses": {"200": {"description": "OK"}}}}
        for path, summary in _GETS.items()
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "preceptor", "version": version("preceptor"), "summary": "Judges as a service"},
        "paths": paths,
        "components": {
            "schemas": schemas["$defs"],
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}],
    }


def _post(path: str) -> dict[str, Any]:
    summary, body, answer, example = _POSTS[path]
    named = [{"name": "judge", "in": "path", "required": True, "schema": {"type": "string"}}]
    return {
        "summary": summary,
        **({"parameters": named} if "{judge}" in path else {}),
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": _reference(body), "example": example}},
        },
        "responses": {
            "200": {"description": "OK", "content": {"application/json": {"schema": _reference(answer)}}},
            **{
                str(status): {"description": said, "content": {"application/json": {"schema": _reference(Problem)}}}
                for status, said in ERRORS.items()
            },
        },
    }


def _reference(kind: type[BaseModel]) -> dict[str, str]:
    return {"$ref": _REFERENCES.format(model=kind.__name__)}


@cache
def page() -> str:
    """The page for people."""
    posts = [
        (path, summary, json.dumps(example), _fields(body), _fields(answer))
        for path, (summary, body, answer, example) in _POSTS.items()
    ]
    template = html_environment("preceptor.serve").get_template("api.html.jinja")
    style = Markup((files("preceptor.reports") / "style.css.jinja").read_text(encoding="utf-8"))
    return template.render(style=style, posts=posts, gets=_GETS, errors=ERRORS, version=version("preceptor"))


def _fields(kind: type[BaseModel]) -> list[str]:
    return list(kind.model_fields)


async def _description(_request: Request) -> Response:
    return Response(json.dumps(description()), media_type="application/json")


async def _page(_request: Request) -> Response:
    policy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'"
    return HTMLResponse(page(), headers={"content-security-policy": policy})


ROUTES = (Route("/openapi.json", _description), Route("/", _page))
