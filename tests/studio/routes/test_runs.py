"""Runs while they train: curves grow, samples stand side by side, a report reaches nothing of the studio."""

import os
import re
from pathlib import Path

import pytest

from measured_episodes import episode
from preceptor.evaluation.checkpoints.snapshot import MeasuredResponse, Snapshot
from preceptor.recipes.load import load_recipe
from preceptor.results.run import RunStatus
from preceptor.runs.directory import RunDirectory
from preceptor.store.files import append_line
from preceptor.studio.folders import Library
from preceptor.studio.runs.samples import sample_page, usual_steps
from preceptor.studio.runs.state import Runs
from studio_small import Person, make_studio, owner, rater


def _response(prompt: int, text: str, score: float | None) -> MeasuredResponse:
    return MeasuredResponse(
        prompt_id=f"p{prompt}", cohort="all", prompt=f"Question {prompt}?", text=text, tokens=3, finished=True, kl=0.5,
        judge_score=None, choice_mass=None, heldout_score=score,
    )  # fmt: skip


def _snapshot(step: int, *scores: float | None) -> Snapshot:
    responses = tuple(_response(i, f"answer {i} at {step}", score) for i, score in enumerate(scores))
    return Snapshot(step=step, responses=responses, references=())


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    """A run of 30 steps that has trained 10 and measured 2 checkpoints."""
    directory = RunDirectory.create(tmp_path / "runs" / "mine", load_recipe("quickstart"))
    directory.tidy()
    directory.write_summary(RunStatus(status="running"))
    for step in range(1, 11):
        append_line(directory.path / "metrics.jsonl", {"step": step, "reward": 0.1 * step, "kl": 0.2})
    for step, scores in ((0, (0.1, 0.2)), (10, (0.5, None))):
        directory.snapshot(f"step-{step:06d}", lambda step=step, scores=scores: _snapshot(step, *scores))
    return directory


@pytest.fixture
def person(tmp_path: Path, run: RunDirectory) -> Person:
    return owner(make_studio(tmp_path / "studio", tmp_path / "runs"))


def test_a_run_is_read_while_it_trains_and_again_when_it_has_grown(tmp_path: Path, run: RunDirectory) -> None:
    [work] = Library([tmp_path / "runs"]).works("run")
    runs = Runs()
    state = runs.state(work)
    assert (state.status, len(state.metrics), state.planned_steps) == (
        "running",
        10,
        run.recipe.model_dump()["rl"]["steps"],
    )
    assert [look.heldout_score.overall and round(look.heldout_score.overall.value, 3) for look in state.curve] == [
        0.15,
        0.5,
    ]
    assert runs.state(work) is state
    append_line(run.path / "metrics.jsonl", {"step": 11, "reward": 2.0})
    assert len(runs.state(work).metrics) == 11
    assert state.quiet_for is None


def test_a_run_that_says_it_is_running_and_does_not_change_may_be_dead(tmp_path: Path, run: RunDirectory) -> None:
    for file in (run.path, *run.path.rglob("*")):
        os.utime(file, (1e9, 1e9))
    [work] = Library([tmp_path / "runs"]).works("run")
    quiet = Runs().state(work).quiet_for
    assert quiet is not None
    assert quiet > 1e6


def test_the_page_draws_curves_and_polls_until_the_run_ends(person: Person, run: RunDirectory) -> None:
    page = person.see("/runs/one?name=runs/mine")
    assert "step 10" in page
    assert len(re.findall("<svg", page)) >= 3
    assert "hx-trigger" in page
    run.write_summary(RunStatus(status="failed", error="the disk <b>is</b> full"))
    assert person.client.get("/runs/live?name=runs/mine").status_code == 286
    assert "the disk &lt;b&gt;is&lt;/b&gt; full" in person.see("/runs/one?name=runs/mine")
    assert "hx-trigger" not in person.see("/runs/one?name=runs/mine")


def test_a_loss_that_is_only_rounding_is_not_drawn(person: Person, run: RunDirectory) -> None:
    for step, loss in ((11, 3e-8), (12, -1e-8)):
        append_line(run.path / "metrics.jsonl", {"step": step, "reward": 0.5, "loss": loss})
    assert "Loss in training" not in person.see("/runs/one?name=runs/mine")
    append_line(run.path / "metrics.jsonl", {"step": 13, "reward": 0.5, "loss": 0.02})
    assert "Loss in training" in person.see("/runs/one?name=runs/mine")


def test_samples_of_each_checkpoint_stand_side_by_side_and_can_be_searched() -> None:
    snapshots = [_snapshot(0, 0.1, 0.2), _snapshot(10, 0.3, 0.4)]
    page = sample_page(snapshots, (0, 10), "", 1)
    assert [[responses[0].text for responses in prompt.by_step] for prompt in page.prompts] == [
        ["answer 0 at 0", "answer 0 at 10"], ["answer 1 at 0", "answer 1 at 10"],
    ]  # fmt: skip
    assert [prompt.prompt_id for prompt in sample_page(snapshots, (10,), "ANSWER 1", 1).prompts] == ["p1"]
    assert sample_page(snapshots, (10,), "at 0", 1).total == 0
    assert usual_steps([_snapshot(step, 0.0) for step in range(0, 100, 10)]) == (0, 30, 60, 90)


def test_samples_of_an_agent_are_shown_turn_by_turn_and_thoughts_are_folded(person: Person, run: RunDirectory) -> None:
    thinks = _response(0, "", 0.1).model_copy(
        update={"thought": "Hm <script>alert(1)</script>", "unfinished_thought": True}
    )
    acts = episode(1, None, steps=(8.0,))
    run.snapshot("step-000020", lambda: Snapshot(step=20, responses=(thinks, acts), references=()))
    page = person.see("/runs/samples?name=runs/mine&step=20")
    assert "<script>alert" not in page
    assert "<script>document" not in page
    assert "Hm &lt;script&gt;alert(1)" in page
    assert "the thought did not end" in page
    assert '<details class="tool" open><summary>Calls calculate' in page  # it is short
    assert "result 1 &lt;script&gt;" in page
    assert "score 8.00" in page
    assert "its environment ended" in page
    for words in ("hm <script", "RESULT 1", "expression"):
        assert sample_page([Snapshot(step=20, responses=(thinks, acts), references=())], (20,), words, 1).total == 1


def test_runs_are_overlaid_and_one_that_cannot_be_read_is_named(
    tmp_path: Path, person: Person, run: RunDirectory
) -> None:
    assert "Held-out score" in person.see("/runs/overlay?name=runs/mine&name=runs/mine")
    assert person.client.get("/runs/overlay").status_code == 404
    (run.path / "recipe.toml").write_text("method = 3", encoding="utf-8")
    page = person.see("/runs")
    assert "recipe.toml" in page


def test_a_report_reaches_nothing_of_the_studio_and_raters_see_no_run(tmp_path: Path, run: RunDirectory) -> None:
    (run.path / "report.html").write_text("<script>alert(1)</script>", encoding="utf-8")
    studio = make_studio(tmp_path / "studio", tmp_path / "runs")
    response = owner(studio).client.get("/report?name=runs/mine")
    assert response.text == "<script>alert(1)</script>"
    policy = response.headers["content-security-policy"]
    assert policy.startswith("sandbox allow-scripts")
    assert "allow-same-origin" not in policy
    ada = rater(studio)
    for path in ("/runs", "/runs/one?name=runs/mine", "/report?name=runs/mine", "/runs/samples?name=runs/mine"):
        assert ada.client.get(path).status_code == 403
    assert owner(studio).client.get("/report?name=../../etc").status_code == 404
