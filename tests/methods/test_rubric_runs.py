"""Runs whose judge judges by the rubrics of prompts."""

import json
from pathlib import Path

import pytest

from preceptor.core.errors import UsageError
from preceptor.evaluation.checkpoints.snapshot import Snapshot
from preceptor.judging.specs import JudgeSpec
from preceptor.methods.execute import execute
from preceptor.recipes.load import load_recipe
from preceptor.recipes.settings import RewardingJudgeSettings
from preceptor.results.run import RunSummary
from preceptor.runs.directory import RunDirectory
from preceptor.runs.evaluation import evaluate_run
from preceptor.tasks.evaluate.evaluate import evaluate
from small import JUDGE, RL, Told, known, shared

RUBRIC = [
    {"criterion": "Is friendly.", "points": 2, "tags": ["tone"]},
    {
        "criterion": "Has at most three words.",
        "points": 2,
        "tags": ["format"],
        "check": {"verifier": "words", "most": 3},
    },
    {"criterion": "Is rude.", "points": -1, "tags": ["tone"]},
]
BY_RUBRIC = ['judge.mode="rubric"']


def with_rubrics(folder: Path, policy: Path, leave_out: int | None = None) -> list[str]:
    """As `shared`, with a rubric in each prompt but perhaps one."""
    listed = shared(folder, policy)
    path = folder / "prompts.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    with path.open("w") as stream:
        for number, row in enumerate(rows):
            own = {"id": f"id-{number}"} | ({} if number == leave_out else {"rubric": RUBRIC})
            stream.write(json.dumps(row | own) + "\n")
    return [*listed, *BY_RUBRIC, *JUDGE]


def finished(folder: Path, recipe: str, overrides: list[str]) -> tuple[RunDirectory, RunSummary]:
    directory = RunDirectory.create(folder / "run", load_recipe(recipe, overrides))
    return directory, execute(directory, Told())


def test_a_run_by_rubrics_has_no_constitution_and_says_which_items_rose(tmp_path: Path, tiny_folder: Path) -> None:
    several = ['rewards.aggregation="normalize_then_sum"', "rl.dynamic_sampling=1"]
    directory, summary = finished(
        tmp_path, "direct_rlaif", [*with_rubrics(tmp_path, tiny_folder), *RL, *several, 'rl.algorithm="grpo"']
    )
    assert summary.constitution is None
    assert summary.judge == "scripted:random"
    assert summary.judge_score_is is not None and "rubric" in summary.judge_score_is
    before, after = (
        Snapshot.model_validate_json((directory.path / f"evaluations/{n}.json").read_text())
        for n in ("before", "after")
    )
    for response in before.responses:
        assert [item.points for item in response.rubric] == [2.0, 2.0, -1.0]
        assert 0 <= known(response.judge_score) <= 1
        assert response.rubric[1].met == float(len(response.text.split()) <= 3)
    evaluation = evaluate_run(before, after, summary)
    named = {change.measure for change in evaluation.changes}
    assert {"rubric score (training judge)", "rubric items (training judge), tone"} <= named
    assert "rubric item (training judge): avoids: Is rude." in named
    page = (directory.path / "report.html").read_text()
    assert "rubric items (training judge), format" in page
    assert "warm_tone" not in page
    assert "rubric" in (directory.path / "report.md").read_text()
    rows = [json.loads(line) for line in (directory.path / "metrics.jsonl").read_text().splitlines()]
    assert all("feedback" in row["sources"] for row in rows)


def test_an_evaluation_asks_the_training_judge_by_rubrics_where_prompts_have_them(
    tmp_path: Path, tiny_folder: Path
) -> None:
    directory, _ = finished(tmp_path, "direct_rlaif", [*with_rubrics(tmp_path, tiny_folder), *RL])
    told, other = Told(), JudgeSpec(model="scripted:first")
    answering = {"max_new_tokens": 6}
    compared = evaluate(run=str(directory.path), judge=other, out=tmp_path / "a", answering=answering, progress=told)
    assert known(compared.training_judge).variant == "rubric"
    assert compared.training_win_rates
    plain = evaluate(
        run=str(directory.path), judge=other, prompts=["Say a", "Say b", "Say c"], out=tmp_path / "b",
        answering=answering, progress=told,
    )  # fmt: skip
    assert plain.training_judge is None
    assert any("3 of 3 prompts lack" in note for note in told.notes)


def test_the_judge_of_an_evaluation_is_asked_as_in_training() -> None:
    settings = {"mode": "rubric", "rubric": {"met": "threshold", "failed_items": "leave_out", "criteria": "one_call"}}
    asked = RewardingJudgeSettings.model_validate(settings).evaluation_spec.resolved()
    assert (asked.shown, asked.met, asked.failed_items, asked.criteria) == (
        "rubric", "threshold", "leave_out", "one_call",
    )  # fmt: skip
    implicit = RewardingJudgeSettings.model_validate({"mode": "rubric", "rubric": {"aggregation": "implicit"}})
    assert implicit.evaluation_spec.resolved().by_rubric.aggregation == "implicit"


def test_the_best_of_n_by_rubric_reaches_the_most_points(tmp_path: Path, tiny_folder: Path) -> None:
    settings = ["best_of_n.samples=3", "best_of_n.max_new_tokens=6", "fine_tuning.batch_size=4", "fine_tuning.epochs=1"]
    directory, summary = finished(tmp_path, "best_of_n", [*with_rubrics(tmp_path, tiny_folder), *settings])
    record = known(summary.best_of_n)
    rows = [json.loads(line) for line in (directory.path / "best_of_n.jsonl").read_text().splitlines()]
    rewards = [reward for row in rows for of_prompt in row["rewards"] for reward in of_prompt]
    assert len(rewards) == 3 * record.prompts
    assert all(0 <= reward <= 1 for reward in rewards)
    assert known(record.mean_reward_of_the_best) > known(record.mean_reward)
    assert "rubric of the prompt" in (directory.path / "report.md").read_text()


@pytest.mark.parametrize(
    ("recipe", "asked"), [("direct_rlaif", BY_RUBRIC), ("dpo", ["judge.variant=rubric"]), ("best_of_n", BY_RUBRIC)]
)
def test_a_prompt_without_a_rubric_is_named_before_anything_is_spent(
    tmp_path: Path, tiny_folder: Path, recipe: str, asked: list[str]
) -> None:
    overrides = with_rubrics(tmp_path, tiny_folder, leave_out=5)[:-2]
    with pytest.raises(UsageError, match='"id-5" has no rubric'):
        RunDirectory.create(tmp_path / "run", load_recipe(recipe, [*overrides, *JUDGE, *asked]))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("recipe", "overrides", "message"),
    [
        ("direct_rlaif", [*BY_RUBRIC, "judge.asking.rationale=true"], r"judge\.asking has no meaning"),
        ("direct_rlaif", [*BY_RUBRIC, 'judge.reward="log_odds"'], r"judge\.reward has no meaning"),
        ("direct_rlaif", ['judge.rubric.met="threshold"'], r'judge\.mode is "score"'),
        ("best_of_n", [*BY_RUBRIC, 'judge.design="swiss"'], r"judge\.design"),
        ("direct_rlaif", [*BY_RUBRIC, "evaluation.judge.model=embedded"], r"evaluation\.judge\.constitution"),
    ],
)
def test_settings_without_a_meaning_are_refused(
    tmp_path: Path, tiny_folder: Path, recipe: str, overrides: list[str], message: str
) -> None:
    listed = [*with_rubrics(tmp_path, tiny_folder)[:-2], *overrides]
    with pytest.raises(UsageError, match=message):
        RunDirectory.create(tmp_path / "run", load_recipe(recipe, listed))
