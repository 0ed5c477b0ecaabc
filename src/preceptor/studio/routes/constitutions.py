"""Constitutions: every version and what used it, two versions compared on the same rows, drafts tried and saved."""

import math
from typing import Any

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response

from preceptor.core.errors import PreceptorError, UsageError
from preceptor.judging.constitution import load_constitution
from preceptor.judging.specs import JudgeSpec, check_judges
from preceptor.results.label import LabelResult
from preceptor.studio.constitutions.compared import compared
from preceptor.studio.constitutions.drafts import MOST_ROWS, Trial, check_draft, save_version
from preceptor.studio.constitutions.versions import Version, comparable_texts, toml_of
from preceptor.studio.context import studio_of
from preceptor.studio.folders import Work
from preceptor.studio.pages import (
    POLLING_ENDS,
    NotFoundError,
    go,
    integer_in,
    number_in,
    owner_form,
    owner_page,
    show,
    text_in,
)

_FEW_ROWS = 20


def constitutions(request: Request) -> Response:
    """Every version, with what used it."""
    return show(
        request,
        "constitutions.html.jinja",
        versions=studio_of(request).versions(),
        folder=studio_of(request).saved_constitutions,
    )


def constitution(request: Request) -> Response:
    """One version: its text, what used it, and the versions that it can be compared with."""
    known = studio_of(request).versions()
    version = _of_hash(known, str(request.path_params["hash"]))
    others = [other for other in known if other.name == version.name and other.hash != version.hash]
    return show(request, "constitution.html.jinja", version=version, text=toml_of(version), others=others)


def compare(request: Request) -> Response:
    """Two versions: how their texts differ, and what they gave on the same rows."""
    from preceptor.reports.compare.page import diff

    known = studio_of(request).versions()
    before, after = (_of_hash(known, request.query_params.get(side, "")) for side in ("before", "after"))
    folders = [(_labels(version), request.query_params.get(side, "")) for version, side in
               ((before, "before_labels"), (after, "after_labels"))]  # fmt: skip
    chosen = [_chosen(works, name) for works, name in folders]
    result = compared(chosen[0], chosen[1], before.hash, after.hash) if chosen[0] and chosen[1] else None
    texts = comparable_texts(before, after)
    return show(
        request,
        "constitutions_compared.html.jinja",
        before=before,
        after=after,
        lines=None if texts is None else diff(*texts),
        folders=[works for works, _ in folders],
        chosen=chosen,
        result=result,
    )


def edit(request: Request) -> Response:
    """A copy of a version, to be edited, tried and saved."""
    version = _of_hash(studio_of(request).versions(), str(request.path_params["hash"]))
    text = toml_of(version)
    if text is None:
        raise NotFoundError("The text of this version is no longer in any file.")
    return _editor(request, version.hash, text)


def try_draft(request: Request, form: FormData) -> Response:
    """Begins to judge a few rows by a draft."""
    studio, text, base = studio_of(request), text_in(form, "text"), str(request.path_params["hash"])
    try:
        source = studio.library.find(text_in(form, "source"))
        if source is None or source.kind != "labels":
            raise UsageError("choose a folder of labels whose rows the draft is tried on")
        draft = check_draft(text, studio_of(request).saved_constitutions)
        judge = JudgeSpec(
            model=text_in(form, "model").strip() or "embedded", variant=text_in(form, "variant").strip() or "detailed"
        )
        check_judges([judge])
        budget = float(text_in(form, "budget").strip() or "1")
        if not math.isfinite(budget):
            raise UsageError("budget: expected a number of dollars")
        trial = studio.trials.start(draft, judge, source, integer_in(form, "rows", _FEW_ROWS), budget)
    except (UsageError, ValueError) as error:
        return _editor(request, base, text, problem=str(error), status=400)
    return go(f"/constitutions/{base}/trials/{trial.number}")


def save_draft(request: Request, form: FormData) -> Response:
    """Saves a draft as a new version."""
    text, base = text_in(form, "text"), str(request.path_params["hash"])
    known = [(version.name, version.version, version.hash) for version in studio_of(request).versions()]
    try:
        saved = save_version(text, studio_of(request).saved_constitutions, known)
    except UsageError as error:
        return _editor(request, base, text, problem=str(error), status=400)
    hash_ = load_constitution(str(saved)).hash
    return show(request, "constitution_saved.html.jinja", path=saved, hash=hash_, base=base)


def trial(request: Request) -> Response:
    """A trial: what the draft gives on a few rows, beside what the folder's own labels say."""
    found = _trial(request)
    return show(request, "trial.html.jinja", base=str(request.path_params["hash"]), **_shown(found))


def trial_progress(request: Request) -> Response:
    """The part of a trial's page that changes while rows are judged."""
    found = _trial(request)
    status = 200 if found.status == "running" else POLLING_ENDS
    base = str(request.path_params["hash"])
    return show(request, "trial_result.html.jinja", status=status, base=base, **_shown(found))


def _shown(trial: Trial) -> dict[str, Any]:
    """A trial, with its rows beside those of the folder that they are from once it is done."""
    if trial.status != "done":
        return {"trial": trial, "result": None, "labels": None}
    labels = LabelResult.load(trial.labels)
    source = LabelResult.load(trial.source.path)
    earlier = source.constitutions[0].hash
    work = Work(trial.labels.name, trial.labels, "labels")
    return {"trial": trial, "result": compared(trial.source, work, earlier, trial.constitution.hash), "labels": labels}


def _editor(request: Request, base: str, text: str, *, problem: str = "", status: int = 200) -> Response:
    works = studio_of(request).library.works("labels")
    return show(
        request,
        "constitution_edit.html.jinja",
        status=status,
        base=base,
        text=text,
        problem=problem,
        works=works,
        model=_model_of(works),
        rows=_FEW_ROWS,
        most=MOST_ROWS,
    )


def _model_of(works: tuple[Work, ...]) -> str:
    """The model that the first readable folder was judged by, as a model string."""
    for work in works:
        try:
            return LabelResult.load(work.path).judges[0].split("#")[0]
        except PreceptorError:
            continue
    return "embedded"


def _trial(request: Request) -> Trial:
    found = studio_of(request).trials.find(number_in(request, "trial"))
    if found is None:
        raise NotFoundError("This trial belongs to an earlier start of the studio; its labels are in the list of rows.")
    return found


def _of_hash(known: list[Version], hash_: str) -> Version:
    version = next((version for version in known if version.hash == hash_), None)
    if version is None:
        raise NotFoundError("There is no such version of a constitution.")
    return version


def _labels(version: Version) -> list[Work]:
    """The folders of labels that a version gave, the newest first."""
    works = [use.work for use in version.uses if use.work.kind == "labels"]
    return sorted(works, key=lambda work: -work.changed)


def _chosen(works: list[Work], name: str) -> Work | None:
    return next((work for work in works if work.name == name), works[0] if works else None)


ROUTES = (
    owner_page("/constitutions", constitutions),
    owner_page("/constitutions/compare", compare),
    owner_page("/constitutions/{hash}", constitution),
    owner_page("/constitutions/{hash}/edit", edit),
    owner_form("/constitutions/{hash}/try", try_draft),
    owner_form("/constitutions/{hash}/save", save_draft),
    owner_page("/constitutions/{hash}/trials/{trial}", trial),
    owner_page("/constitutions/{hash}/trials/{trial}/progress", trial_progress),
)
