"""Queues for the owner: their list, how a new one is made, and how far people agree in one."""

from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from markupsafe import Markup
from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request
from starlette.responses import Response

from preceptor.core.errors import UsageError
from preceptor.core.types import Frozen
from preceptor.judging.constitution import load_constitution
from preceptor.store.for_people import FILE
from preceptor.store.in_memory import remember
from preceptor.studio.context import Studio, studio_of
from preceptor.studio.figures import Curve, Point, curves
from preceptor.studio.folders import Work
from preceptor.studio.pages import (
    POLLING_ENDS,
    NotFoundError,
    go,
    integer_in,
    number_in,
    owner_form,
    owner_page,
    queue_in,
    show,
    text_in,
)
from preceptor.studio.people import queues, sources
from preceptor.studio.people.export import asked_share, file_name, write_beside
from preceptor.studio.people.guidelines import guidelines_of
from preceptor.studio.people.interchange import import_answers
from preceptor.studio.people.live import LiveFiles
from preceptor.studio.people.measured import Measured
from preceptor.studio.people.opinions import opinions
from preceptor.studio.people.quality import prompt_text
from preceptor.studio.people.queues import Guidelines, NewItem, Queue
from preceptor.studio.people.sources import Source

SOURCES = {
    "written": "Planned or disputed rows",
    "sample": "Random sample",
    "cohort": "One cohort",
    "policies": "Two policies",
    "ranked": "Several policies, ranked",
    "file": "A file",
}
"""Where rows can be from, and what the page calls it."""
_FILE_ENDINGS = (".jsonl", ".parquet")
_MOST_POINTS = 12


class Choices(Frozen):
    """What the form of a new queue offers for one kind of source."""

    source: str
    folders: tuple[str, ...]
    folder: str | None
    """The folder that was chosen, where the next field depends on it."""
    options: dict[str, int | None]
    """Cohorts with their sizes, or policies, of this folder."""


def all_queues(request: Request) -> Response:
    """All queues, the newest first."""
    people = studio_of(request).people
    listed = [(queue, queues.progress(people, queue)) for queue in queues.queues(people)]
    return show(request, "queues.html.jinja", queues=listed)


def new(request: Request) -> Response:
    """The form of a new queue."""
    return _form(request, dict(request.query_params))


def make(request: Request, form: FormData) -> Response:
    """Makes a queue, or shows the form again with what is wrong."""
    studio = studio_of(request)
    try:
        with TemporaryDirectory() as folder:
            source = _source(studio, form, Path(folder))
            items = [NewItem(row) for row in source.rows] + _known(form, source, Path(folder))
            guidelines = _guidelines(studio, form, Path(folder))
            with studio.people.transaction():
                queue = queues.create(
                    studio.people,
                    text_in(form, "name"),
                    source.kind,
                    items,
                    source=source.words,
                    folder=None if source.folder is None else str(source.folder),
                    guidelines=guidelines,
                    raters_per_row=integer_in(form, "raters_per_row", 1),
                    repeat_share=integer_in(form, "repeat_percent", 0) / 100,
                    seed=integer_in(form, "seed", 0),
                )
                _with_answers(studio, queue, form)
    except UsageError as error:
        given = {name: value for name, value in form.items() if isinstance(value, str)}
        return _form(request, given, str(error))
    return go(f"/queues/{queue.id}")


def one(request: Request) -> Response:
    """A queue: what people rate, how far they agree, and their rows."""
    queue, studio = queue_in(request), studio_of(request)
    work = _work_of(studio, queue)
    kept = sum(item.known is not None for item in _measured(request, queue).said.items.values())
    return show(
        request,
        "queue.html.jinja",
        queue=queue,
        work=work,
        known=kept,
        file=_live(request).folder / f"{file_name(studio.people, queue)}.jsonl",
        message=_done(request, file_name(studio.people, queue)),
        **_live_values(request, queue),
    )


def live(request: Request) -> Response:
    """The part of a queue's page that changes while people rate; nothing if it has not changed."""
    queue = queue_in(request)
    if not queue.closed and _measured(request, queue).mark == request.query_params.get("mark"):
        return Response(status_code=204)
    status = POLLING_ENDS if queue.closed else 200
    return show(request, "queue_live.html.jinja", status=status, queue=queue, **_live_values(request, queue))


def row(request: Request) -> Response:
    """One row of a queue, with everybody's answers and judges' verdicts."""
    queue = queue_in(request)
    said = _measured(request, queue).said
    item = said.items.get(number_in(request, "item"))
    if item is None:
        raise NotFoundError("There is no such row in this queue.")
    ratings = [rating for rating in said.ratings if rating.item == item.id]
    return show(request, "queue_row.html.jinja", queue=queue, item=item, ratings=ratings, text=prompt_text(item))


def close(request: Request, form: FormData) -> Response:
    """Ends a queue, or opens it again."""
    queue = queue_in(request)
    queues.close(studio_of(request).people, queue.id, closed=text_in(form, "closed") == "1")
    return go(f"/queues/{queue.id}")


def add_known(request: Request, form: FormData) -> Response:
    """Adds a row with an answer that the owner typed."""
    queue = queue_in(request)
    if queue.kind != "compare":
        raise UsageError("known answers to rankings are given as a file when a queue is made")
    fields = (text_in(form, name) for name in ("prompt", "response_a", "response_b", "known"))
    queues.add(studio_of(request).people, queue.id, [sources.known_answer(*fields)])
    return go(f"/queues/{queue.id}?done=known")


def beside(request: Request, _form: FormData) -> Response:
    """Writes people's rows into the folder that the rows are from."""
    queue, studio = queue_in(request), studio_of(request)
    work = _work_of(studio, queue)
    if work is None:
        raise UsageError("the rows are not from a folder that the studio shows; download them")
    write_beside(opinions(studio.people, queue), work.path, file_name(studio.people, queue))
    return go(f"/queues/{queue.id}?done=beside")


def _done(request: Request, name: str) -> str:
    """What the last form did. The words are this page's own, so that a link from elsewhere cannot bring others."""
    done = request.query_params.get("done")
    if done == "known":
        return "A row with a known answer is added."
    if done == "beside":
        return f"People's rows are in the folder, as people-{name}.jsonl."
    counts = [request.query_params.get(key, "") for key in ("answers", "known", "unmatched", "unreadable")]
    if done != "imported" or not all(count.isdecimal() and len(count) < 10 for count in counts):
        return ""
    return (
        "Answers imported: {}. Here already: {}. Records of other rows: {}. Answers that could not be read: {}."
    ).format(*counts)


def _live_values(request: Request, queue: Queue) -> dict[str, Any]:
    measured = _measured(request, queue)
    return {
        "progress": queues.progress(studio_of(request).people, queue),
        "measured": measured,
        "quality": measured.quality,
        "chosen": _chosen(measured),
        "share": asked_share(measured.said),
        "figure": _figure(measured),
        "problem": _live(request).problem,
    }


def _chosen(measured: Measured) -> dict[str, int]:
    """How many rows were chosen in which way; "" where it is not known."""
    rows = (item.row for item in measured.said.items.values() if item.known is None)
    return dict(Counter(str(row.get("selection", "")) for row in rows))


def _figure(measured: Measured) -> Markup | None:
    so_far = measured.quality.so_far
    if len(so_far) < 2:
        return None
    points = [Point.of(n, estimate) for n, estimate in so_far[-_MOST_POINTS:]]
    return curves("Two people agree, so far", [Curve("two people", points)], x_label="rows with two opinions")


def _form(request: Request, given: dict[str, str], problem: str = "") -> Response:
    studio = studio_of(request)
    return show(
        request,
        "queue_new.html.jinja",
        status=400 if problem else 200,
        sources=SOURCES,
        choices=_choices(studio, given),
        given={"raters_per_row": "2", "repeat_percent": "5", "count": "100", "seed": "0"} | given,
        constitutions=[version for version in studio.versions() if version.constitution is not None],
        problem=problem,
    )


def _choices(studio: Studio, given: dict[str, str]) -> Choices:
    source = given.get("source", "written")
    source = source if source in SOURCES else "written"
    works = _works(studio, source)
    folder = next((work for work in works if work.name == given.get("folder")), None)
    options: dict[str, int | None] = {}
    if folder is not None and source == "cohort":
        options = dict(sources.cohorts_of_labels(folder))
    if folder is not None and source in ("policies", "ranked"):
        options = dict.fromkeys(sources.policies_in(folder))
    names = tuple(work.name for work in works)
    return Choices(source=source, folders=names, folder=folder and folder.name, options=options)


def _works(studio: Studio, source: str) -> Sequence[Work]:
    """The folders that rows of this kind can be from."""
    if source == "written":
        return [work for work in studio.library.works("labels", "estimate") if (work.path / FILE).is_file()]
    return studio.library.works("labels" if source in ("sample", "cohort") else "evaluation")


def _source(studio: Studio, form: FormData, folder: Path) -> Source:
    source, seed = text_in(form, "source"), integer_in(form, "seed", 0)
    if source == "file":
        return _uploaded(form, folder, seed)
    work = next((work for work in _works(studio, source) if work.name == text_in(form, "folder")), None)
    if work is None:
        raise UsageError("choose a folder that the rows are from")
    if source == "written":
        return sources.written_for_people(work, seed)
    count = integer_in(form, "count", 100)
    if count < 1:
        raise UsageError(f"rows: expected 1 or more, got {count}")
    if source == "policies":
        return sources.two_policies(work, text_in(form, "one"), text_in(form, "other"), count, seed)
    if source == "ranked":
        names = [str(name) for name in form.getlist("policies")]
        return sources.several_policies(work, names, count, seed)
    return sources.sample_of_labels(work, count, seed, text_in(form, "cohort") if source == "cohort" else None)


def _uploaded(form: FormData, folder: Path, seed: int) -> Source:
    with _files(form, "rows", folder, (*_FILE_ENDINGS, ".json")) as files:
        if not files:
            raise UsageError("choose a file with rows")
        name = ", ".join(name for name, _ in files)
        paths = [path for _, path in files]
        kind = "rank" if text_in(form, "kind") == "rank" else "compare"
        if len(paths) > 1 and (kind == "compare" or any(path.suffix == ".json" for path in paths)):
            raise UsageError("comparisons, and what other tools exported, are taken from one file")
        if paths[0].suffix == ".json":
            return sources.uploaded_project(_text(paths[0], name), name, kind, seed)
        if kind == "rank":
            return sources.uploaded_rankings(paths, name, seed)
        return sources.uploaded_comparisons(paths[0], name, seed)


def _with_answers(studio: Studio, queue: Queue, form: FormData) -> None:
    """Takes in the answers of a file that Argilla or Label Studio exported."""
    upload = form.get("rows")
    if text_in(form, "source") == "file" and isinstance(upload, UploadFile) and _ends(upload, ".json"):
        upload.file.seek(0)
        import_answers(studio.people, queue, upload.file.read().decode("utf-8"))


def _ends(upload: UploadFile, ending: str) -> bool:
    return (upload.filename or "").lower().endswith(ending)


def _text(path: Path, name: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"{name}: is not UTF-8 text") from error


def _known(form: FormData, source: Source, folder: Path) -> list[NewItem]:
    with _files(form, "known", folder, _FILE_ENDINGS) as files:
        return [item for _, path in files for item in sources.known_answers(path, source.kind)]


def _guidelines(studio: Studio, form: FormData, folder: Path) -> Guidelines:
    with _files(form, "own", folder, (".toml",)) as files:
        if files:
            return guidelines_of(load_constitution(str(files[0][1])))
    wanted = text_in(form, "constitution")
    if not wanted:
        return Guidelines()
    found = next((version.constitution for version in studio.versions() if version.hash == wanted), None)
    if found is None:
        raise UsageError("this constitution is no longer here; choose another one")
    return guidelines_of(found)


@contextmanager
def _files(form: FormData, field: str, folder: Path, endings: Sequence[str]) -> Generator[list[tuple[str, Path]]]:
    """The uploaded files of a field, written into a folder: what they were called, and where they are.

    Raises: UsageError for a file of another kind.
    """
    found: list[tuple[str, Path]] = []
    for number, upload in enumerate(form.getlist(field)):
        if not isinstance(upload, UploadFile) or not upload.filename:
            continue
        name = upload.filename
        ending = next((ending for ending in endings if _ends(upload, ending)), None)
        if ending is None:
            raise UsageError(f"{name[:80]}: expected a file that ends in {' or '.join(endings)}")
        path = folder / f"{field}-{number}{ending}"
        path.write_bytes(upload.file.read())
        remember(path, name[:80])
        found.append((name[:80], path))
    yield found


def _work_of(studio: Studio, queue: Queue) -> Work | None:
    """The folder that the rows are from, if the studio shows it."""
    return next((work for work in studio.library.works() if str(work.path) == queue.folder), None)


def _measured(request: Request, queue: Queue) -> Measured:
    return studio_of(request).measurements.of(queue)


def _live(request: Request) -> LiveFiles:
    return studio_of(request).live


ROUTES = (
    owner_page("/queues", all_queues),
    owner_form("/queues", make),
    owner_page("/queues/new", new),
    owner_page("/queues/{queue}", one),
    owner_page("/queues/{queue}/live", live),
    owner_page("/queues/{queue}/rows/{item}", row),
    owner_form("/queues/{queue}/close", close),
    owner_form("/queues/{queue}/known", add_known),
    owner_form("/queues/{queue}/beside", beside),
)
