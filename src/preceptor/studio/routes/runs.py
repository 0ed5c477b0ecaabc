"""Runs: their list, live curves, samples at each checkpoint, runs on top of each other, and reports."""

from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from preceptor.core.errors import PreceptorError
from preceptor.reports.turns import ENDINGS
from preceptor.studio.context import Studio, studio_of
from preceptor.studio.folders import Work
from preceptor.studio.pages import POLLING_ENDS, NotFoundError, owner_page, show
from preceptor.studio.people.shown import ShownRow
from preceptor.studio.rows.files import opened
from preceptor.studio.runs import figures
from preceptor.studio.runs.samples import MOST_STEPS, PAGE, sample_page, usual_steps
from preceptor.studio.runs.state import RunState, report_of

_REPORT_POLICY = (
    "sandbox allow-scripts allow-downloads; default-src 'none'; style-src 'unsafe-inline'; "
    "script-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'"
)
"""Reports have their styles and scripts in the page. The sandbox gives them an origin of their own, so that they reach
nothing of the studio."""


@dataclass(frozen=True)
class Listed:
    """A run in the list; or why it cannot be read."""

    work: Work
    state: RunState | None
    problem: str = ""


def runs(request: Request) -> Response:
    """All runs, those that changed last first."""
    works = sorted(studio_of(request).library.works("run"), key=lambda work: -work.changed)
    return show(request, "runs.html.jinja", runs=[_listed(studio_of(request), work) for work in works])


def run(request: Request) -> Response:
    """One run: its status, curves and results so far."""
    state = studio_of(request).runs.state(_work(request))
    return show(request, "run.html.jinja", state=state, figures=figures.of_one(state), report=report_of(state.work))


def live(request: Request) -> Response:
    """The part of a run's page that changes while it trains. Polling ends once the run has ended."""
    state = studio_of(request).runs.state(_work(request))
    status = 200 if state.status in ("running", "begun") else POLLING_ENDS
    return show(request, "run_live.html.jinja", status=status, state=state, figures=figures.of_one(state))


def samples(request: Request) -> Response:
    """What the policy answered to the same prompts at some checkpoints, side by side."""
    state = studio_of(request).runs.state(_work(request))
    asked = [int(step) for step in request.query_params.getlist("step") if step.isdecimal() and len(step) < 19][
        :MOST_STEPS
    ]
    words, number = request.query_params.get("words", ""), request.query_params.get("page", "1")
    page = int(number) if number.isdecimal() and len(number) < 9 else 1
    found = sample_page(state.snapshots, asked or usual_steps(state.snapshots), words, page)
    pages = max(1, -(-found.total // PAGE))
    texts = ShownRow((), (), "plain")
    return show(
        request,
        "run_samples.html.jinja",
        state=state,
        found=found,
        words=words,
        page_number=page,
        pages=pages,
        texts=texts,
        endings=ENDINGS,
    )


def overlay(request: Request) -> Response:
    """Several runs on top of each other."""
    states = [studio_of(request).runs.state(_named(request, name)) for name in request.query_params.getlist("name")[:8]]
    if not states:
        raise NotFoundError("No run is selected; tick some in the list of runs.")
    return show(request, "runs_overlay.html.jinja", states=states, figures=figures.overlaid(states))


def report(request: Request) -> Response:
    """The report that a command wrote into its folder, as it is."""
    path = report_of(_work(request))
    if path is None:
        raise NotFoundError("This folder has no report yet.")
    try:
        with opened(path) as stream:
            text = stream.read().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PreceptorError(f"{path}: cannot be read: {error}") from error
    return HTMLResponse(text, headers={"content-security-policy": _REPORT_POLICY, "x-frame-options": "SAMEORIGIN"})


def _listed(studio: Studio, work: Work) -> Listed:
    try:
        return Listed(work, studio.runs.state(work))
    except PreceptorError as error:
        return Listed(work, None, str(error))


def _work(request: Request) -> Work:
    return _named(request, request.query_params.get("name", ""))


def _named(request: Request, name: str) -> Work:
    work = studio_of(request).library.find(name)
    if work is None:
        raise NotFoundError("There is no such folder in this studio; it may have been moved or deleted.")
    return work


ROUTES = (
    owner_page("/runs", runs),
    owner_page("/runs/one", run),
    owner_page("/runs/live", live),
    owner_page("/runs/samples", samples),
    owner_page("/runs/overlay", overlay),
    owner_page("/report", report),
)
