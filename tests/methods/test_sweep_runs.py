"""A checkpoint sweep over one small run: what it writes, how it goes on, what it refuses."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from preceptor.core.errors import CheckpointError, UsageError
from preceptor.judging.judge import Judge
from preceptor.methods.execute import execute
from preceptor.methods.sweep import SweepJob, run_sweep, sweep
from preceptor.recipes.load import load_recipe
from preceptor.results.sweep import SweepResult
from preceptor.runs.directory import RunDirectory
from preceptor.store.output import Output
from small import WORDS, Told, known, settings


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path) -> RunDirectory:
    folder = tmp_path_factory.mktemp("swept")
    recipe = load_recipe(
        "quickstart", [*settings(folder, tiny_folder), "rl.steps=4", "evaluation.samples_per_prompt=1"]
    )
    directory = RunDirectory.create(folder / "small", recipe)
    execute(directory, Told())
    checkpoints = directory.path / "checkpoints"
    shutil.copytree(checkpoints / "step-000004", checkpoints / "step-000005")  # a twin
    return directory


@pytest.fixture(scope="module")
def swept(run: RunDirectory) -> tuple[SweepJob, SweepResult]:
    job = SweepJob(run=run.path, output=Output(run.path.parent / "sweep"), samples=2, max_perplexity_ratio=50.0)
    return job, run_sweep(job, Told())


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_every_checkpoint_is_measured_on_the_held_out_prompts(
    run: RunDirectory, swept: tuple[SweepJob, SweepResult], capsys: pytest.CaptureFixture[str]
) -> None:
    job, found = swept
    summary = known(run.finished())
    assert [point.step for point in found.points] == [0, 2, 4, 5]
    assert found.prompts == summary.prompts.held_out
    assert found.validation == summary.prompts.validation
    assert (found.held_out, found.trained_on, found.kept_step) == ("VADER", 0, summary.best_step)
    assert found.training_reward == summary.judge_score_is
    assert found.start.kl.overall is not None
    assert found.start.kl.overall.value == pytest.approx(0.0, abs=1e-6)
    later, twin = found.points[-2:]
    assert later.model_copy(update={"step": 5}) == twin  # checkpoints draw the same random numbers
    assert later.kl.overall is not None
    assert later.kl.overall.value != 0.0
    assert later.perplexity_ratio != 1.0
    assert (found.bounds.max_kl, found.bounds.max_perplexity_ratio) == (1e6, 50.0)
    assert found.start.perplexity == SweepResult.load(job.out).start.perplexity
    page = (job.out / "report.html").read_text()
    assert "<svg" in page
    responses = found.prompts * found.samples
    assert f"All {responses}</summary>" in page
    assert page.count('<article class="example">') == responses
    for step in (2, 4, 5):
        assert len(re.findall(rf'class="label">step {step}\b', page)) == responses
    print(found)
    assert f"* {found.best_step}" in capsys.readouterr().out


def test_a_killed_sweep_goes_on_and_the_run_is_left_as_it_was(
    run: RunDirectory, swept: tuple[SweepJob, SweepResult]
) -> None:
    job, found = swept
    before, measured = contents(run.path), contents(job.out / "checkpoints")
    (job.out / "checkpoints" / "step-000002.json").unlink()
    (job.out / "sweep.json").unlink()
    kept = (job.out / "checkpoints" / "step-000004.json").stat().st_mtime_ns
    again = run_sweep(job, Told())
    assert contents(job.out / "checkpoints") == measured
    assert (job.out / "checkpoints" / "step-000004.json").stat().st_mtime_ns == kept
    assert again.model_copy(update={"facts": {}}) == found.model_copy(update={"facts": {}})
    assert again.facts["training judge"] == found.facts["training judge"]  # nothing was asked twice
    assert contents(run.path) == before


def test_other_prompts_and_a_held_out_judge(run: RunDirectory, tmp_path: Path) -> None:
    seen, new = tmp_path / "seen.jsonl", tmp_path / "new.jsonl"
    seen.write_text("".join(json.dumps({"id": w, "prompt": f"Say {w}"}) + "\n" for w in WORDS))
    rows = [
        {"id": "sum", "prompt": "1 + 1?", "reference": "2"},
        {"prompt": "Sing", "cohort": "songs"},
        {"prompt": "x" * 600},
    ]
    new.write_text("".join(json.dumps(row) + "\n" for row in rows))
    told = Told()
    job = SweepJob(
        run=run.path,
        output=Output(tmp_path / "out"),
        prompts=(f"seen={seen}", str(new)),
        judge="scripted:random",
        constitution="helpful",
        samples=1,
    )
    found = run_sweep(job, told)
    assert found.cohorts == {"seen": 14, "all": 1, "songs": 1}
    assert found.validation == 6  # two in five, as in the run
    assert found.trained_on == known(run.finished()).prompts.training
    assert found.heldout_judge_trained  # the run's judge is the same control
    assert found.held_out == "scripted:random by helpful"
    assert list(found.start.rates) == ["over-refusal", "exact match", "contains the answer"]
    assert found.start.heldout.overall is not None
    assert -1 <= found.start.heldout.overall.value <= 1
    assert "1 prompts do not fit the policy's context window and are skipped" in told.notes
    assert "calls, 0 failed" in str(found.facts["held-out judge"])


def test_checkpoints_that_nothing_measured_are_not_ranked(
    tmp_path: Path, tiny_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    overrides = [*settings(tmp_path, tiny_folder), "rl.steps=2", "judge.constitution=helpful"]
    overrides += ["rl.learning_rate=1e-6"]  # so that it stays within bounds
    directory = RunDirectory.create(tmp_path / "run", load_recipe("quickstart", overrides))
    execute(directory, Told())
    job = SweepJob(run=directory.path, output=Output(tmp_path / "out"), samples=1, max_perplexity_ratio=50.0)
    found = run_sweep(job, Told())
    assert [point.excluded for point in found.points] == [None, None]
    assert (found.held_out, found.best_step) == (None, 2)
    assert [point.heldout.overall for point in found.points] == [None, None]
    assert not any(point.better or point.heldout_failures for point in found.points)
    print(found)
    for said in (capsys.readouterr().out, (job.out / "report.html").read_text()):
        assert "Nothing independent measured these checkpoints" in " ".join(said.split())
        assert "VADER" not in said


def test_a_folder_keeps_to_the_sweep_it_was_begun_with(swept: tuple[SweepJob, SweepResult]) -> None:
    job, _ = swept
    with pytest.raises(UsageError, match="holds a sweep made with other samples; choose another folder"):
        run_sweep(replace(job, samples=1), Told())
    with pytest.raises(UsageError, match="made with other held-out measure and constitution"):
        run_sweep(replace(job, judge="scripted:first", constitution="helpful"), Told())


def test_a_damaged_measurement_is_not_trusted(swept: tuple[SweepJob, SweepResult]) -> None:
    job, _ = swept
    path = job.out / "checkpoints" / "step-000004.json"
    whole = path.read_text()
    path.write_text(whole[:99])
    with pytest.raises(CheckpointError, match=r"step-000004\.json: is damaged .*delete it and start the same work"):
        run_sweep(job, Told())
    path.write_text(whole)


def test_mistakes_are_answered_before_anything_is_written(run: RunDirectory, tmp_path: Path, tiny_folder: Path) -> None:
    job = SweepJob(run=run.path, output=Output(tmp_path / "out"))
    for wrong, message in (
        (replace(job, run=tmp_path), "holds no run"),
        (replace(job, constitution="helpful"), "a constitution is for a held-out judge; name the judge's model"),
        (replace(job, judge="embeded"), 'there is no model "embeded"'),
        (replace(job, judge="scripted:random", constitution="helpfull"), 'did you mean "helpful"'),
        (replace(job, max_kl=-1.0), "max_kl = -1"),
        (
            replace(job, prompts=("package:everyday_prompts", "again=package:everyday_prompts")),
            "two prompts have the id",
        ),
        (replace(job, prompts=("none.jsonl",)), r"none\.jsonl: the prompts file cannot be read"),
    ):
        with pytest.raises(UsageError, match=message):
            run_sweep(wrong, Told())
    begun = RunDirectory.create(tmp_path / "begun", load_recipe("quickstart", settings(tmp_path, tiny_folder)))
    with pytest.raises(UsageError, match=r"no checkpoints to sweep \(method: direct RLAIF\)"):
        run_sweep(replace(job, run=begun.path), Told())
    old = begun.path / "recipe.toml"
    old.write_text("".join(line for line in old.open() if not line.startswith("validation_share")))
    with pytest.raises(UsageError, match="an earlier version of preceptor began this run"):
        run_sweep(replace(job, run=begun.path), Told())
    assert not (tmp_path / "out").exists()


def test_a_sweep_from_a_program(run: RunDirectory) -> None:
    judge = Judge("scripted:random", "helpful")
    result = sweep(run.path, prompts={"seen": [f"Say {word}" for word in WORDS]}, judge=judge, progress=Told())
    assert result.cohorts == {"seen": len(WORDS)}
    assert str(result.held_out).endswith("by helpful")
    assert (result.path / "report.html").exists()  # in a temporary folder
