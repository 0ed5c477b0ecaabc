"""The method `agent` from end to end: the tiny random model in an environment that rewards what it says."""

import json
from pathlib import Path
from typing import Any

import pytest

from conftest import make_model
from preceptor.core.errors import PreceptorError, UsageError
from preceptor.core.progress import Facts
from preceptor.environments.calculator_solutions import demonstration_lines
from preceptor.environments.calculator_tasks import calculator_tasks
from preceptor.evaluation.checkpoints.snapshot import Snapshot
from preceptor.methods.execute import execute
from preceptor.methods.sweep import sweep
from preceptor.recipes.load import load_recipe
from preceptor.results.run import RunSummary
from preceptor.runs.directory import RunDirectory
from preceptor.tasks.evaluate.evaluate import evaluate
from small import JUDGE, Told, known, shared
from talking import ENVIRONMENT, SPEECHLESS

STEPS = [
    "rl.steps=2",
    "rl.prompts_per_step=2",
    "rl.group_size=3",
    "rl.max_new_tokens=6",
    "rl.gradient_accumulation_steps=1",
    "rl.dynamic_sampling=0",
    "turns.max_turns=2",
    "evaluation.samples_per_prompt=2",
]


TRL = ["engine.name=trl", "rl.algorithm=grpo", "rl.kl_in=loss"]


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model with a window that holds the tools."""
    folder = tmp_path_factory.mktemp("models") / "wide"
    model = make_model(window=4096)
    model.model.save_pretrained(folder)
    model.tokenizer.save_pretrained(folder)
    return folder


def settings(folder: Path, policy: Path, environment: str = ENVIRONMENT) -> list[str]:
    return [*shared(folder, policy), *STEPS, f"environment.name={environment}"]


def finished(folder: Path, listed: list[str]) -> tuple[RunDirectory, RunSummary]:
    directory = RunDirectory.create(folder / "run", load_recipe("agent", listed))
    return directory, execute(directory, Told())


def rows_of(directory: RunDirectory) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (directory.path / "metrics.jsonl").read_text().splitlines()]


class Interrupting(Told):
    """Ends the run after its first training step."""

    def step(self, step: int, total: int, facts: Facts) -> None:
        raise PreceptorError("interrupted")


def test_the_environment_rewards_and_measures_and_a_run_that_ended_early_goes_on(tmp_path: Path, wide: Path) -> None:
    directory, summary = finished(tmp_path, settings(tmp_path, wide))
    assert summary.method == "RLAIF of an agent"
    assert summary.heldout_score_is == "success by the environment"
    assert summary.judge is None
    assert (summary.judge_calls, summary.steps) == (0, 2)
    before = Snapshot.model_validate_json((directory.path / "evaluations/before.json").read_text())
    for response in before.responses:
        episode = known(response.episode)
        assert response.prompt.endswith("Speak evenly.")  # what `reset` appended
        assert response.heldout_score == float(known(episode.success))
        assert response.trajectory[-1].content == response.text
        assert known(episode.result.reward) in (0.5, 1.0)
    rows = rows_of(directory)
    assert all(0 <= row["episodes"]["success"] <= 1 for row in rows)
    assert [row["reward"] for row in rows] == [row["episodes"]["reward"] for row in rows]
    assert rows[0]["sources"].keys() == {"environment"}
    assert rows[0]["grad_norm"] > 0
    assert execute(RunDirectory.open(directory.path), Told()) == summary

    cut = RunDirectory.create(tmp_path / "cut", load_recipe("agent", settings(tmp_path, wide)))
    with pytest.raises(PreceptorError, match="interrupted"):
        execute(cut, Interrupting())
    execute(RunDirectory.open(cut.path), Told())
    for name in ("metrics.jsonl", "evaluations/before.json", "evaluations/after.json"):
        assert (cut.path / name).read_bytes() == (directory.path / name).read_bytes()


def test_a_sweep_and_an_evaluation_of_an_agent(tmp_path: Path, wide: Path) -> None:
    directory, summary = finished(tmp_path, settings(tmp_path, wide))
    swept = sweep(directory.path, out=tmp_path / "sweep", samples=1, progress=Told())
    assert (swept.held_out, [point.step for point in swept.points]) == ("success by the environment", [0, 2])
    assert swept.prompts == summary.prompts.held_out
    assert {"task done", "episodes with a failed call"} <= swept.start.rates.keys()
    measured = Snapshot.model_validate_json((tmp_path / "sweep/checkpoints/step-000002.json").read_text())
    assert all(r.heldout_score == float(known(known(r.episode).success)) for r in measured.responses)
    assert ", turn 1" in (tmp_path / "sweep/report.html").read_text()

    with pytest.raises(UsageError, match=r"trained an agent.*preceptor sweep"):
        evaluate(run=directory.path, judge="scripted:random", progress=Told())
    answered = evaluate(base=str(wide), agent=directory.path, prompts=["Hi?"], judge="scripted:random", progress=Told())
    assert answered.without_tools == ("agent",)
    assert any("agent learnt to act with tools" in warning for warning in answered.warnings)


def test_a_judge_of_the_whole_and_of_turns_can_reward_too(tmp_path: Path, wide: Path) -> None:
    weights = ["agent.environment=0.5", "agent.judge=1", "agent.steps=0.2", 'agent.aggregation="normalize_then_sum"']
    directory, summary = finished(tmp_path, [*settings(tmp_path, wide), *JUDGE, *weights])
    assert summary.judge == "scripted:random"
    assert summary.judge_score_is is not None
    rows = rows_of(directory)
    assert rows[0]["sources"].keys() == {"environment", "judge"}
    assert {"every_step_good", "plan_lost"} <= rows[0]["episodes"].keys()
    after = Snapshot.model_validate_json((directory.path / "evaluations/after.json").read_text())
    for response in after.responses:
        assert len(response.steps) == known(response.episode).turns
        assert all(1 <= known(score) <= 10 for score in response.steps)


def test_the_same_recipe_runs_on_trl(tmp_path: Path, wide: Path) -> None:
    pytest.importorskip("trl")
    directory, summary = finished(tmp_path, [*settings(tmp_path, wide), *TRL])
    assert (summary.steps, summary.heldout_score_is) == (2, "success by the environment")
    rows = rows_of(directory)
    assert all(0 <= row["episodes"]["success"] <= 1 for row in rows)
    assert all(row["reward"] == pytest.approx(row["episodes"]["reward"]) for row in rows)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["agent.environment=0"], "nothing rewards the whole episode"),
        (["environment.name=calculater"], 'did you mean "calculator"'),
        ([f"environment.name={SPEECHLESS}"], "no method get_reward.*agent.environment=0"),
        ([f"environment.name={SPEECHLESS}", "agent.environment=0", "agent.judge=1"], "evaluation.judge.model"),
        (["agent.steps=1", "rl.algorithm=ppo"], "cannot credit single turns"),
        (["rl.algorithm=reinforce", "rl.group_size=1", 'agent.aggregation="normalize_then_sum"'], "needs at least 2"),
        ([*TRL, "rl.algorithm=rloo"], "grpo"),
        ([*TRL, "agent.steps=1"], "single turns"),
        ([*TRL, "engine.vllm=colocate"], "engine.vllm"),
        ([*TRL, "rl.dynamic_sampling=1"], "dynamic_sampling"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_written(
    tmp_path: Path, wide: Path, overrides: list[str], words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        RunDirectory.create(tmp_path / "run", load_recipe("agent", [*settings(tmp_path, wide), *overrides]))
    assert not (tmp_path / "run").exists()


def test_a_judge_is_there_if_it_has_a_weight(tmp_path: Path) -> None:
    assert load_recipe("agent").training_judge is None
    assert load_recipe("agent", ["agent.steps=1"]).training_judge is not None
    assert load_recipe("agent", ["judge.model=scripted:random"]).training_judge is not None


def test_the_shipped_recipe_runs_at_the_tiny_scale_after_demonstrations(tmp_path: Path, wide: Path) -> None:
    shown = tmp_path / "shown.jsonl"
    shown.write_text(demonstration_lines(calculator_tasks("easy", 6, seed=1)))
    small = ["rl.max_new_tokens=8", "rl.dynamic_sampling=0", "limit=24", "sft.max_length=4096"]
    listed = [*shared(tmp_path, wide), *small, f"sft.demonstrations={shown}", "prompts=package:calculator"]
    directory = RunDirectory.create(tmp_path / "run", load_recipe("agent", listed, scale="tiny"))
    summary = execute(directory, Told())
    assert (summary.steps, summary.heldout_score_is) == (2, "success by the environment")
    assert known(summary.evaluation.before.heldout_score.overall).value == 0.0  # it talks nonsense
    assert known(summary.sft).demonstrations == 6
    made = json.loads((directory.path / "sft/model.training/training.json").read_text())
    assert "calculate" in json.dumps(made["tools"])
