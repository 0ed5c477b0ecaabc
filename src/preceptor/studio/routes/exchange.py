"""Files of a queue for the owner: people's rows, and the JSON of Argilla and Label Studio, out and in."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from urllib.parse import quote, urlencode

from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request
from starlette.responses import Response

from preceptor.core.errors import UsageError
from preceptor.store.rows import Row
from preceptor.studio.context import studio_of
from preceptor.studio.pages import NotFoundError, go, owner_form, owner_page, queue_in
from preceptor.studio.people import interchange
from preceptor.studio.people.export import exported_rankings, exported_rows, file_name
from preceptor.studio.people.opinions import Opinions, opinions


def _lines(rows: Sequence[Row]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows)


FILES: dict[str, Callable[[Opinions], str]] = {
    "people.jsonl": lambda said: _lines(exported_rows(said)),
    "rankings.jsonl": lambda said: _lines(exported_rankings(said)),
    "argilla.json": lambda said: interchange.as_json(interchange.for_argilla(said)),
    "label-studio.json": lambda said: interchange.as_json(interchange.for_label_studio(said)),
    "label-studio.xml": lambda said: interchange.label_studio_setup(said.queue),
}
"""What each file of a queue holds."""


def download(request: Request) -> Response:
    """A file of a queue."""
    queue, name = queue_in(request), str(request.path_params["file"])
    if name not in FILES:
        raise NotFoundError("There is no such file.")
    people = studio_of(request).people
    saved = quote(f"{file_name(people, queue)}-{name}")
    headers = {"content-disposition": f"attachment; filename*=UTF-8''{saved}"}
    return Response(FILES[name](opinions(people, queue)), media_type="application/octet-stream", headers=headers)


def import_answers(request: Request, form: FormData) -> Response:
    """Stores the answers of an uploaded file."""
    queue, upload = queue_in(request), form.get("answers")
    if not isinstance(upload, UploadFile) or not upload.filename:
        raise UsageError("choose the file that Argilla or Label Studio exported")
    try:
        text = upload.file.read().decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"{upload.filename[:80]}: is not UTF-8 text; expected JSON") from error
    done = interchange.import_answers(studio_of(request).people, queue, text)
    return go(f"/queues/{queue.id}?{urlencode({'done': 'imported', **asdict(done)})}")


ROUTES = (
    owner_page("/queues/{queue}/files/{file}", download),
    owner_form("/queues/{queue}/import", import_answers),
)
