"""Labels, failures, judgements and scores: listed by a filter, exported by it, and each row by itself."""

import json
import sqlite3
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from preceptor.core.errors import UsageError
from preceptor.evaluation.checkpoints.snapshot import MeasuredResponse
from preceptor.store.best_of_n_rows import BestOfNRow
from preceptor.store.preference_row import FailureRow, PreferenceRow
from preceptor.studio.context import studio_of
from preceptor.studio.pages import POLLING_ENDS, NotFoundError, owner_page, show
from preceptor.studio.people.shown import ShownRow, view_of
from preceptor.studio.rows import browse
from preceptor.studio.rows.browse import IndexedRow
from preceptor.studio.rows.calls import answer_of, calls_of, prompt_of, searched, totals
from preceptor.studio.rows.entries import UNDECIDED, ScoredRow
from preceptor.studio.rows.filters import RANGES, Filter
from preceptor.studio.rows.index import RowIndex
from preceptor.studio.rows.rated import RatedRows, answers_on

_EXCERPT = 160
"""Characters of a prompt in the list."""


def rows(request: Request) -> Response:
    """A page of the rows that a filter leaves."""
    chosen, number = Filter.read(request.query_params), _page_number(request)
    studio, index = studio_of(request), _index(request)
    rated = _rated(request).majorities()
    with _reading(request, chosen) as connection:  # until the page is made, since indexing would slow that down
        page = browse.page(connection, chosen, number)
        contents = browse.contents(studio.library, page.rows)
        return show(
            request,
            "rows.html.jinja",
            chosen=chosen,
            ranged=any(bound is not None for name in RANGES for bound in chosen.bounds(name)),
            choices=browse.choices(connection),
            listed=[(row, _excerpt(contents.get(row.id)), contents.get(row.id)) for row in page.rows],
            rated={row.id: code for row in page.rows if (code := _rated_as(row, rated)) is not None},
            any_rated=bool(rated),
            total=page.total,
            page_number=page.number,
            pages=page.pages,
            state=index.progress(),
        )


def progress(request: Request) -> Response:
    """How far the index is, as a part of the list's page."""
    state = _index(request).progress()
    status = 200 if state.running else POLLING_ENDS
    return show(request, "rows_progress.html.jinja", status=status, state=state, polled=True)


def row(request: Request) -> Response:
    """One row: what was compared, every verdict, what people said, and its neighbours within the filter."""
    studio, index, chosen = studio_of(request), _index(request), Filter.read(request.query_params)
    indexed, others = _named_row(request, index)
    with _reading(request, chosen) as connection:
        before, after = browse.neighbours(connection, chosen, indexed)
    content = browse.content(studio.library, indexed)[0]
    return show(
        request,
        "row.html.jinja",
        indexed=indexed,
        link=Filter().query(**indexed.address),
        others=others,
        row=content,
        kind=indexed.kind,
        shown=_shown(content, request.query_params.get("view", "")),
        answers=answers_on(studio.people, indexed.row_id),
        before=before,
        after=after,
        chosen=chosen,
    )


def calls(request: Request) -> Response:
    """The calls behind a row: the prompt as it was sent, what came back, tokens and cost."""
    studio, index = studio_of(request), _index(request)
    indexed, _ = _named_row(request, index)
    content, work = browse.content(studio.library, indexed)[0], studio.library.find(indexed.folder)
    if isinstance(content, ScoredRow) or work is None:
        raise NotFoundError("This row has no calls.")
    folder = (work.path / indexed.file).parent
    # A failure does not say how its judge was asked, so its calls are those that have its texts.
    whole = isinstance(content, FailureRow) or "whole" in request.query_params
    return show(
        request,
        "row_calls.html.jinja",
        indexed=indexed,
        query=Filter().query(**indexed.address),
        recorded=None if isinstance(content, FailureRow) or whole else calls_of(content, folder, work.path),
        searched=searched(content, folder) if whole else [],
        totals=totals,
        prompt_of=prompt_of,
        answer_of=answer_of,
        part="hx-request" in request.headers,
    )


def export(request: Request) -> Response:
    """All rows that a filter leaves, as JSON lines in the form of their files."""
    chosen = Filter.read(request.query_params)
    return StreamingResponse(
        _lines(request, chosen),
        media_type="application/x-ndjson",
        headers={"content-disposition": f'attachment; filename="{chosen.what}.jsonl"'},
    )


def _lines(request: Request, chosen: Filter) -> Iterator[str]:
    """The lines of an export. Rows whose file has changed since are left out."""
    studio = studio_of(request)
    with _reading(request, chosen, first=False) as connection:
        for batch in browse.batches(connection, chosen):
            by_id = browse.contents(studio.library, batch)
            yield "".join(
                json.dumps(browse.wire(by_id[indexed.id]), ensure_ascii=False, allow_nan=False) + "\n"
                for indexed in batch
                if indexed.id in by_id
            )


@contextmanager
def _reading(request: Request, chosen: Filter, *, first: bool = True) -> Generator[sqlite3.Connection]:
    """A connection that reads the index, with what the filter needs; `first` as in `RowIndex.reading`."""
    with _index(request).reading(first=first) as connection:
        if chosen.rated:
            _rated(request).attach(connection)
        yield connection


def _rated(request: Request) -> RatedRows:
    return studio_of(request).rated


def _rated_as(row: IndexedRow, rated: Mapping[int, int]) -> int | None:
    """How the raters of a row see its judge; None if nobody rated it."""
    code = None if row.compared is None else rated.get(row.compared)
    return UNDECIDED if code is not None and row.p == 0.5 else code


def _named_row(request: Request, index: RowIndex) -> tuple[IndexedRow, list[IndexedRow]]:
    """The row that an address names, and other rows of the same id in its folder, such as other judges' verdicts."""
    query = request.query_params
    line = query.get("line", "")
    with index.reading() as connection:
        listed = browse.find(connection, query.get("of", ""), query.get("id", ""))
    named = [row for row in listed if query.get("file", row.file) == row.file and line in ("", str(row.line))]
    if not named:
        raise NotFoundError("There is no such row; its file may have changed, or is not indexed yet.")
    return named[0], [row for row in listed if row != named[0]]


def _shown(content: Any, view: str) -> ShownRow | None:
    """The conversation and the responses a and b, or an agent's turns, as the page shows them."""
    chosen = view_of(view)
    if isinstance(content, PreferenceRow):
        return ShownRow(content.prompt, content.responses, chosen)
    if isinstance(content, FailureRow) and content.prompt and content.response_a and content.response_b:
        return ShownRow(content.prompt, (content.response_a, content.response_b), chosen)
    if isinstance(content, MeasuredResponse) and content.trajectory:
        return ShownRow((), [content.trajectory], chosen)
    return None


def _excerpt(content: Any) -> str:
    """The beginning of a row's prompt, on one line; of a failure without texts, what went wrong."""
    text = ""
    if isinstance(content, PreferenceRow):
        text = content.prompt[-1].content
    elif isinstance(content, MeasuredResponse):
        text = content.prompt
    elif isinstance(content, BestOfNRow):
        text = content.prompt.text if content.prompt else ""
    elif isinstance(content, FailureRow):
        text = content.prompt[-1].content if content.prompt else content.detail
    text = " ".join(text[: 4 * _EXCERPT].split())
    return text if len(text) <= _EXCERPT else text[:_EXCERPT].rstrip() + "…"


def _page_number(request: Request) -> int:
    text = request.query_params.get("page", "1").strip() or "1"
    if not text.isascii() or not text.isdigit() or len(text) > 9 or not int(text):
        raise UsageError(f'page "{text[:40]}": expected a whole number, 1 or more')
    return int(text)


def _index(request: Request) -> RowIndex:
    """The index of this studio, which looks for new rows whenever a page is opened."""
    index = studio_of(request).index
    index.refresh()
    return index


ROUTES = (
    owner_page("/rows", rows),
    owner_page("/rows/progress", progress),
    owner_page("/rows/row", row),
    owner_page("/rows/calls", calls),
    owner_page("/rows/export", export),
)
