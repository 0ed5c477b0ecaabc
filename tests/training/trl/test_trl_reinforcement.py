"""RL by TRL's trainers in whole runs: what a run writes, how it resumes, and what becomes of a judge's failures."""

from pathlib import Path

import pytest
from transformers import AutoModelForCausalLM

from preceptor.backends.base import ChoiceLogProbs, ChooseRequest
from preceptor.backends.scripted import SCRIPTS, random_choice
from preceptor.core.hashing import unit_hash
from preceptor.core.progress import Facts
from preceptor.core.types import JudgeFailure
from preceptor.methods.execute import execute
from preceptor.recipes.load import load_recipe
from preceptor.results.run import RunSummary
from preceptor.runs.directory import RunDirectory
from small import Told, known, settings

TRL = "engine.name=trl"
GRPO = ["rl.algorithm=grpo", "rl.kl_in=loss"]


class Stopping(Told):
    """Interrupts the run after a step."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self._at = at

    def step(self, step: int, total: int, facts: Facts) -> None:
        super().step(step, total, facts)
        if step == self._at:
            raise KeyboardInterrupt


def begun(folder: Path, policy: Path, *more: str) -> RunDirectory:
    folder.mkdir(exist_ok=True)
    return RunDirectory.create(folder / "run", load_recipe("quickstart", [*settings(folder, policy), *more]))


def ran(folder: Path, policy: Path, *more: str) -> tuple[RunDirectory, RunSummary, Told]:
    directory, told = begun(folder, policy, *more), Told()
    return directory, execute(directory, told), told


def report(directory: RunDirectory) -> str:
    return directory.report.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path) -> tuple[RunDirectory, RunSummary, Told]:
    return ran(tmp_path_factory.mktemp("trl"), tiny_folder, TRL, "tracking.with=tensorboard")


def test_a_run_on_trl_is_whole_and_its_rows_are_those_of_the_native_engine(
    finished: tuple[RunDirectory, RunSummary, Told], tmp_path: Path, tiny_folder: Path
) -> None:
    directory, summary, told = finished
    native, summary_of_native, _ = ran(tmp_path, tiny_folder)
    assert summary.steps == 5
    assert told.steps == [1, 2, 3, 4, 5]
    assert told.measured_at == [0, 2, 4, 5]
    for row, of_native in zip(directory.metrics(), native.metrics(), strict=True):
        assert row.keys() == of_native.keys()
        assert row["learning_rate"] == pytest.approx(of_native["learning_rate"])
    assert summary.evaluation.before == summary_of_native.evaluation.before
    assert AutoModelForCausalLM.from_pretrained(directory.best)
    assert sorted(path.name for path in directory.best.iterdir()) == sorted(p.name for p in native.best.iterdir())
    assert "TRL&#39;s trainer took the steps" in report(directory)
    assert "TRL" not in report(native)
    assert "TRL" in (directory.best / "README.md").read_text()
    assert {"training", "measuring"} <= set(summary.stages)
    assert list(directory.path.rglob("events.out*"))


def test_an_interrupted_run_on_trl_ends_as_the_uninterrupted_one(
    finished: tuple[RunDirectory, RunSummary, Told], tmp_path: Path, tiny_folder: Path
) -> None:
    directory = begun(tmp_path, tiny_folder, TRL, "tracking.with=tensorboard")
    for stop in (1, 3):
        with pytest.raises(KeyboardInterrupt):
            execute(RunDirectory.open(directory.path), Stopping(stop))
    summary = execute(RunDirectory.open(directory.path), Told())
    whole, expected, _ = finished
    assert (directory.path / "metrics.jsonl").read_bytes() == (whole.path / "metrics.jsonl").read_bytes()
    assert summary.best_step == expected.best_step
    assert summary.evaluation == expected.evaluation
    assert summary.judge_calls == expected.judge_calls  # what was judged before is not asked again
    assert report(directory).count("<svg") == report(whole).count("<svg") > 0


def test_siblings_and_functions_reward_as_on_the_native_engine(tmp_path: Path, tiny_folder: Path) -> None:
    (tmp_path / "own.py").write_text(
        "def short(completions, **kwargs):\n    return [-len(c) / 9 for c in completions]\n"
    )
    mode = ["judge.mode=siblings", "judge.constitution=helpful", "judge.variant=detailed"]
    function = [f'rewards.functions=["{tmp_path}/own.py:short"]', "rewards.aggregation=normalize_then_sum"]
    steps = ["rl.steps=2", "engine.loss_type=dapo"]
    directory, summary, _ = ran(tmp_path, tiny_folder, TRL, *GRPO, *mode, *function, *steps)
    assert summary.steps == 2
    assert [set(row["sources"]) for row in map(dict, directory.metrics())] == [{"feedback", "short"}] * 2  # pyright: ignore[reportArgumentType]
    assert "with the loss dapo" in report(directory)


def test_all_weights_are_rewarded_against_the_reference_policy(tmp_path: Path, tiny_folder: Path) -> None:
    mode = ["judge.mode=reference", "judge.constitution=helpful", "judge.variant=detailed"]
    directory, summary, _ = ran(tmp_path, tiny_folder, TRL, "tuning.method=full", *mode, "rl.steps=2")
    assert summary.steps == 2
    assert all(known(row["kl"]) != 0.0 for row in directory.metrics()[1:])
    assert AutoModelForCausalLM.from_pretrained(directory.best)


def test_what_the_judge_fails_on_has_no_reward_and_is_counted(
    tmp_path: Path, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flaky(request: ChooseRequest) -> ChoiceLogProbs | JudgeFailure:
        if unit_hash("fails", str(request.prompt)) < 0.5:
            return JudgeFailure(reason="invalid_log_probs", detail="no numbers")
        return random_choice(request)

    monkeypatch.setitem(SCRIPTS, "flaky", flaky)
    directory, summary, _ = ran(tmp_path, tiny_folder, TRL, "judge.model=scripted:flaky", "rl.steps=3")
    rows = directory.metrics()
    abstained = sum(int(known(row["abstained"])) for row in rows)
    assert 0 < abstained < 18
    assert all(row["flat_groups"] == row["short_groups"] for row in rows)
    assert summary.judge_failures >= abstained
    assert f"{abstained} training responses had no reward" in report(directory)


def test_a_checkpoint_that_breaks_a_bound_ends_the_run(tmp_path: Path, tiny_folder: Path) -> None:
    bound = ["evaluation.stop_early=true", "evaluation.bounds.max_kl=1e-6", "evaluation.checkpoint_every=1"]
    directory, summary, told = ran(tmp_path, tiny_folder, TRL, *bound)
    assert "KL" in known(summary.stopped_early)
    assert told.measured_at[-1] == summary.steps == len(directory.metrics())
    assert 2 <= summary.steps < 5
    assert summary.best_step < summary.steps
