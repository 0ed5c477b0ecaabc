"""Labels, failures and judgements: found by filter and words, and each row by itself."""

import json
from collections.abc import Iterator
from pathlib import Path
from threading import Lock

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from preceptor.store.calls import RecordedCall, calls_with
from preceptor.store.preference_row import PreferenceRow
from preceptor.studio.context import Studio, studio_of
from preceptor.studio.pages import NotFoundError, owner_page, show
from preceptor.studio.people.shown import ShownRow
from preceptor.studio.rows.index import Index, text_of
from preceptor.studio.rows.reading import line_at
from preceptor.studio.rows.search import PAGE, SORTS, Filter, Found, choices, count, every, find, neighbours, page_of

_INDEXES: dict[Path, Index] = {}
_OPENING = Lock()
_PART_OF_A_TEXT = 300
"""Characters of the prompt and of each response by which its calls are found in the ledger."""
_LEDGERS = ("ledger.sqlite", "held_out.sqlite")


def rows(request: Request) -> Response:
    """The rows that a filter finds."""
    index, wanted = _index(request), Filter.of(request.query_params)
    page = _whole(request.query_params.get("page", "1"))
    total = count(index, wanted)
    return show(
        request,
        "rows.html.jinja",
        state=index.state(),
        wanted=wanted,
        choices=choices(index),
        sorts={name: words for name, (words, _) in SORTS.items()},
        found=page_of(index, wanted, page),
        total=total,
        page_number=page,
        pages=max(1, -(-total // PAGE)),
    )


def progress(request: Request) -> Response:
    """How far the index is."""
    return show(request, "rows_progress.html.jinja", state=_index(request).state())


def row(request: Request) -> Response:
    """One row: what was compared, every verdict, and its neighbours within the filter."""
    index, found = _index(request), _found(request)
    wanted = Filter.of(request.query_params)
    raw, content = line_at(Path(found.path), found.start)
    before, after = neighbours(index, wanted, found)
    shown = None
    if isinstance(content, PreferenceRow):
        view = "differences" if request.query_params.get("view") == "differences" else "markdown"
        shown = ShownRow(content.prompt, content.responses, view)
    return show(
        request,
        "row.html.jinja",
        found=found,
        row=content,
        raw=raw,
        shown=shown,
        before=before,
        after=after,
        wanted=wanted,
    )


def calls(request: Request) -> Response:
    """The calls behind a row: the prompt as it was sent, what came back, tokens and cost."""
    found = _found(request)
    _, content = line_at(Path(found.path), found.start)
    recorded = _calls(studio_of(request), found, content) if isinstance(content, PreferenceRow) else []
    return show(request, "row_calls.html.jinja", calls=recorded)


def export(request: Request) -> Response:
    """All rows that a filter finds, as JSON lines in the form of their files."""
    return StreamingResponse(
        _export(_index(request), Filter.of(request.query_params)),
        media_type="application/x-ndjson",
        headers={"content-disposition": 'attachment; filename="rows.jsonl"'},
    )


def _export(index: Index, wanted: Filter) -> Iterator[str]:
    for found in every(index, wanted):
        _, content = line_at(Path(found.path), found.start)
        if content is not None:
            yield json.dumps(content.wire(), ensure_ascii=False) + "\n"


def _calls(studio: Studio, found: Found, row: PreferenceRow) -> list[RecordedCall]:
    work = studio.library.find(found.folder)
    if work is None:
        return []
    texts = [text_of(messages).strip()[:_PART_OF_A_TEXT].rstrip() for messages in (row.prompt[-1:], *row.responses)]
    ledgers = [work.path / name for name in _LEDGERS if (work.path / name).is_file()]
    return [call for ledger in ledgers for call in calls_with(ledger, texts)]


def _found(request: Request) -> Found:
    query = request.query_params
    found = find(_index(request), query.get("of", ""), query.get("file", ""), _whole(query.get("line", "0"), 0))
    if found is None:
        raise NotFoundError("There is no such row; its file may have changed, or is not indexed yet.")
    return found


def _index(request: Request) -> Index:
    """The index of this studio, which looks for new rows whenever a page is opened."""
    studio = studio_of(request)
    with _OPENING:
        index = _INDEXES.get(studio.data)
        if index is None:
            index = _INDEXES[studio.data] = Index(studio.data / "index.sqlite", studio.library)
    index.look()
    return index


def _whole(text: str, least: int = 1) -> int:
    return max(least, int(text)) if text.isascii() and text.isdigit() and len(text) < 10 else least


ROUTES = (
    owner_page("/rows", rows),
    owner_page("/rows/progress", progress),
    owner_page("/rows/row", row),
    owner_page("/rows/calls", calls),
    owner_page("/rows/export", export),
)
