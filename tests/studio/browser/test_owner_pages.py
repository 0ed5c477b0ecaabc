"""Every page of the owner in a real browser: no error in the console, no barrier, no sideways scrolling on a phone."""

from pathlib import Path

import pytest

import preceptor as pc
from preceptor.evaluation.checkpoints.snapshot import MeasuredResponse, Snapshot
from preceptor.recipes.load import load_recipe
from preceptor.results.run import RunStatus
from preceptor.runs.directory import RunDirectory
from preceptor.store.files import append_line
from studio_browser import OpenScreen, Serve
from studio_small import comparisons, make_queue, make_studio


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A folder of labels, a run that trains, and a cohort in which a model regressed."""
    folder = tmp_path / "work"
    pc.label([*comparisons(12), {"id": "bad"}], judges="scripted:random", out=folder / "labels")
    run = RunDirectory.create(folder / "run", load_recipe("quickstart"))
    run.tidy()
    run.write_summary(RunStatus(status="running"))
    append_line(run.path / "metrics.jsonl", {"step": 1, "reward": 0.5, "kl": 0.1})
    response = MeasuredResponse(
        prompt_id="p", cohort="all", prompt="Why?", text="Because " * 40, tokens=9, finished=True, kl=0.1,
        judge_score=0.3, choice_mass=0.9, heldout_score=0.2,
    )  # fmt: skip
    run.snapshot("step-000001", lambda: Snapshot(step=1, responses=(response,), references=()))
    traces = [
        {"prompt": f"Where is parcel {i} of {day} {i * day}?", "response": "Here.", "time": f"2026-03-{day:02}",
         "model": model, "finish_reason": "length" if i < failed else "stop"}
        for day, model, failed in ((3, "old", 2), (10, "old", 3), (17, "new", 19))
        for i in range(20)
    ]  # fmt: skip
    pc.cohort(traces, out=folder / "production.jsonl")
    return folder


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (390, True)])
def test_every_page_of_the_owner(
    tmp_path: Path, work: Path, serve: Serve, screen: OpenScreen, width: int, dark: bool
) -> None:
    studio = make_studio(tmp_path / "studio")
    queue = make_queue(studio.people, comparisons(3))
    owner = screen(serve(work).address, width=width, dark=dark).sign_in()
    row = "of=work%2Flabels&id=r0"
    version = pc.load_constitution("helpful").hash
    for path in (
        "/",
        "/queues",
        "/queues/new",
        f"/queues/{queue.id}",
        "/raters",
        "/rows",
        "/rows?words=question&sort=-disagreement",
        "/rows?what=all&p_from=0.5",
        f"/rows/row?{row}",
        f"/rows/row?{row}&view=differences",
        f"/rows/calls?{row}",
        "/constitutions",
        f"/constitutions/{version}",
        f"/constitutions/{version}/edit",
        f"/constitutions/compare?before={version}&after={version}",
        "/runs",
        "/runs/one?name=work%2Frun",
        "/runs/samples?name=work%2Frun",
        "/runs/overlay?name=work%2Frun",
        "/cohorts",
        "/cohorts/one?of=work%2Fproduction.jsonl",
        "/cohorts/failing?of=work%2Fproduction.jsonl",
    ):
        answer = owner.page.goto(owner.address + path)
        assert answer is not None
        assert answer.status == 200, path
        owner.page.wait_for_load_state("networkidle")
        assert owner.barriers() == [], path
        assert owner.page.evaluate("document.documentElement.scrollWidth") <= width, path
    assert owner.errors == []


def test_curves_grow_while_a_run_trains(work: Path, serve: Serve, screen: OpenScreen) -> None:
    owner = screen(serve(work).address).sign_in().open("/runs/one?name=work%2Frun")
    assert "step 1 " in owner.page.inner_text("main")
    append_line(work / "run" / "metrics.jsonl", {"step": 2, "reward": 0.7, "kl": 0.2})
    owner.page.get_by_text("step 2 ").wait_for(timeout=60_000)  # a busy machine draws slowly
    RunDirectory.open(work / "run").write_summary(RunStatus(status="failed", error="the judge is gone"))
    owner.page.get_by_text("the judge is gone").wait_for(timeout=60_000)
    assert owner.errors == []
