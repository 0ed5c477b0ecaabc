"""Several ways of training side by side: the tiny random model, a scripted judge."""

import json
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from preceptor.core.errors import UsageError
from preceptor.evaluation.checkpoints.snapshot import Snapshot
from preceptor.evaluation.intervals import Estimate
from preceptor.evaluation.policies.result import Evaluation
from preceptor.methods.arms import arms as run_arms
from preceptor.methods.arms import load_arms
from preceptor.recipes.load import shipped_arms, shipped_scales
from preceptor.recipes.rlaif import RlaifRecipe
from preceptor.results.arms import ArmRecord, ArmsResult
from preceptor.runs.directory import RunDirectory
from preceptor.training.rl.settings import RLSettings
from run_examples import data
from small import Told, known, shared


def recipe(folder: Path, policy: Path, **changes: Any) -> Path:
    """A file of three small arms."""
    common: dict[str, Any] = {}
    for override in shared(folder, policy):
        *path, last = override.partition("=")[0].split(".")
        table = common
        for part in path:
            table = table.setdefault(part, {})
        value = override.partition("=")[2]
        table[last] = json.loads(value) if value[:1].isdigit() or value in ("true", "false") else value
    common["judge"] = {"model": "scripted:random", "constitution": "warm_tone"}
    common["rl"] = {"steps": 2, "prompts_per_step": 2, "max_new_tokens": 6, "gradient_accumulation_steps": 1}
    common["evaluation"] |= {"max_new_tokens": 6, "temperature": 0.9}
    common["best_of_n"] = {"samples": 2, "max_new_tokens": 6}
    common["fine_tuning"] = {"batch_size": 4, "epochs": 1, "gradient_accumulation_steps": 1}
    arms: list[dict[str, Any]] = [
        {"name": "direct RLAIF", "recipe": "direct_rlaif"},
        {"name": "GRPO", "recipe": "direct_rlaif", "settings": {"rl": {"algorithm": "grpo"}}},
        {"name": "best of 2", "recipe": "best_of_n"},
    ]
    path = folder / "arms.toml"
    path.write_text(tomli_w.dumps({"description": "Three <small> arms", "common": common, "arms": arms} | changes))
    return path


def test_every_arm_is_a_run_and_all_are_compared(tmp_path: Path, tiny_folder: Path) -> None:
    file = recipe(tmp_path, tiny_folder)
    summary = run_arms(load_arms(str(file)), out=tmp_path / "out", progress=Told())
    assert json.loads((tmp_path / "out/summary.json").read_text()) == summary.model_dump(mode="json")
    assert ArmsResult.load(tmp_path / "out") == summary
    assert [arm.name for arm in summary.arms] == ["direct RLAIF", "GRPO", "best of 2"]
    for arm in summary.arms:
        assert arm.summary == RunDirectory.open(tmp_path / "out" / arm.folder).finished()
        assert arm.gain == arm.summary.heldout_change
        folder = tmp_path / "out" / arm.folder / "evaluations"
        again = [] if arm.summary.best_step else [folder / "after.json"]  # a copy of before
        asked = {file: Snapshot.model_validate_json(file.read_text()) for file in folder.glob("*.json")}
        judged = [r for file, look in asked.items() if file not in again for r in look.responses]
        assert arm.measured_responses == sum(r.judge_score is not None for r in judged)
    best = known(summary.best_arm)
    assert known(best.against_best).value == 0.0
    assert known(best.gain).value == max(known(arm.gain).value for arm in summary.arms)
    befores = {arm.summary.evaluation.before.heldout_score.model_dump_json() for arm in summary.arms}
    assert len(befores) == 1  # measured on the same prompts with the same random numbers
    page = (tmp_path / "out/report.html").read_text()
    assert "Three &lt;small&gt; arms" in page
    assert "Except for best of 2, where nothing was chosen, each arm's checkpoint was chosen" in page
    assert "(best of 2: before and after training, on the test prompts)" in page
    evaluation = Evaluation.model_validate_json((tmp_path / "out/evaluation.json").read_text())
    assert [policy.name for policy in evaluation.policies] == ["before", "direct RLAIF", "GRPO", "best of 2"]
    assert len([each for each in evaluation.win_rates if each.cohort is None]) == 6
    assert len(evaluation.ratings) == 4
    assert "Every policy against every other" in page
    assert "direct RLAIF" in (tmp_path / "out/report.md").read_text()

    ledgers = [path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("ledger.sqlite")]
    again = run_arms(load_arms(str(file)), out=tmp_path / "out", progress=Told())
    assert again == summary
    assert [path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("ledger.sqlite")] == ledgers


def test_the_directory_of_other_arms_is_refused(tmp_path: Path, tiny_folder: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "recipe.toml").write_text("seed = 7\n")
    with pytest.raises(UsageError, match="holds a run of other arms"):
        run_arms(load_arms(str(recipe(tmp_path, tiny_folder))), out=out, progress=Told())


def test_arms_are_measured_on_the_same_things(tmp_path: Path, tiny_folder: Path) -> None:
    arms = [
        {"name": "a", "recipe": "direct_rlaif"},
        {"name": "b", "recipe": "direct_rlaif", "settings": {"evaluation": {"heldout_share": 0.3}}},
    ]
    with pytest.raises(UsageError, match=r'arm "b": evaluation is .*0\.3.*but .*0\.4'):
        load_arms(str(recipe(tmp_path, tiny_folder, arms=arms)))


def test_mistakes_name_the_arm(tmp_path: Path, tiny_folder: Path) -> None:
    wrong = [{"name": "a", "recipe": "direct_rlaif", "settings": {"rl": {"stepps": 3}}}, {"name": "b", "recipe": "dpo"}]
    with pytest.raises(UsageError, match=r'a: direct_rlaif: unknown key "rl\.stepps"; did you mean "steps"'):
        load_arms(str(recipe(tmp_path, tiny_folder, arms=wrong)))
    with pytest.raises(UsageError, match=r'no set of arms "warm_tune".*"?warm_tone'):
        load_arms("warm_tune")


def test_a_common_setting_that_no_method_has_is_a_mistake(tmp_path: Path, tiny_folder: Path) -> None:
    with pytest.raises(UsageError, match=r'no method has a setting "rl\.stepps"'):
        load_arms(str(recipe(tmp_path, tiny_folder)), ["common.rl.stepps=3"])


def test_overrides_come_after_the_scale() -> None:
    first = load_arms("warm_tone", ["common.rl.steps=7"], "tiny").recipes()[0]
    rl = first.table(RLSettings)
    assert rl is not None
    assert rl.steps == 7


def test_the_shipped_arms_are_judged_equally_often() -> None:
    """At most three responses to each of 248 training prompts."""
    for each in load_arms("warm_tone").recipes():
        if rl := each.table(RLSettings):
            judged = rl.steps * rl.prompts_per_step * rl.group_size
            assert 700 < judged <= 744 or isinstance(each, RlaifRecipe)
    preferences = [
        r.preferences.samples_per_prompt for r in load_arms("warm_tone").recipes() if isinstance(r, RlaifRecipe)
    ]
    assert preferences == [3]


@pytest.mark.parametrize("name", shipped_arms())
@pytest.mark.parametrize("scale", [None, *shipped_scales()])
def test_shipped_arms_load(name: str, scale: str | None) -> None:
    assert len(load_arms(name, scale=scale).arms) >= 2


def test_arms_that_nothing_measured_are_not_ranked(tmp_path: Path, tiny_folder: Path) -> None:
    arms = [{"name": "A", "recipe": "best_of_n"}, {"name": "B", "recipe": "direct_rlaif"}]
    file = str(recipe(tmp_path, tiny_folder, arms=arms))
    summary = run_arms(load_arms(file, ["common.judge.constitution=helpful"]), out=tmp_path / "out", progress=Told())
    assert summary.best is None
    assert [arm.gain for arm in summary.arms] == [None, None]
    page = (tmp_path / "out/report.html").read_text()
    assert "Nothing independent measured these arms" in page
    assert "Nothing independent compared these policies" in page
    print(summary)


def about(value: float, reach: float = 0.06) -> Estimate:
    return Estimate(value=value, low=value - reach, high=value + reach, n=9)


def arm(name: str, gain: Estimate | None, against_best: Estimate | None, **changes: Any) -> ArmRecord:
    """An arm whose run says the least; `changes` are of its summary."""
    calm = {"best_step": 4, "judge_warnings": []} | changes
    return ArmRecord(
        name=name, recipe="r", folder="f", gain=gain, against_best=against_best, perplexity_ratio=None,
        measured_responses=0, summary=data(**calm).summary,
    )  # fmt: skip


def side_by_side(*records: ArmRecord, best: str = "A") -> ArmsResult:
    return ArmsResult(description="", seed=0, prompts=records[0].summary.prompts, best=best, arms=records)


def test_the_headline_says_which_arms_cannot_be_told_apart() -> None:
    first = arm("A", about(0.4, 0.1), about(0.0, 0.0))
    second = arm("B", about(0.3, 0.1), about(-0.1, 0.2))
    third = arm("C", about(0.0, 0.1), about(-0.4, 0.1))
    assert side_by_side(first, second, third).headline == (
        "A gains most by the held-out measure: +0.40 [+0.30, +0.50]. It cannot be distinguished from B at the 95% "
        "level."
    )
    assert "more than every other arm" in side_by_side(first, third).headline
    assert "Nothing independent measured" in side_by_side(first.model_copy(update={"gain": None})).headline


def test_arms_measured_by_a_judge_that_trained_them_are_doubted_first() -> None:
    said = [{"kind": "position", "sentence": "The judge prefers what is shown first"}]
    unreadable = {"before": 0.0, "after": 0.25}
    doubted = arm("A", about(0.4), about(-0.4), heldout_judge_trained=True, judge_warnings=said, unreadable=unreadable)
    summary = side_by_side(doubted, arm("B", about(0.1), about(-0.4), unreadable={"before": 0.0, "after": 0.0}))
    assert summary.headline.startswith("Nothing independent measured these arms: ")
    assert summary.warnings == [
        "A: the held-out judge is the judge that trained it",
        "A: The judge prefers what is shown first",
        "A: 25% of the responses after training are unreadable",
    ]


def test_arms_with_judges_of_their_own_have_no_training_judge_in_common(tmp_path: Path, tiny_folder: Path) -> None:
    arms = [
        {"name": "A", "recipe": "best_of_n"},
        {
            "name": "B",
            "recipe": "best_of_n",
            "settings": {"judge": {"constitution": "helpful"}},
        },
    ]
    file = str(recipe(tmp_path, tiny_folder, arms=arms))
    with pytest.raises(UsageError, match=r'"B": held-out measure is none .* judge\), but vader in "A"'):
        load_arms(file)
    judge = ["common.evaluation.judge.model=scripted:first", "common.evaluation.judge.constitution=helpful"]
    run_arms(load_arms(file, judge), out=tmp_path / "out", progress=Told())
    evaluation = Evaluation.model_validate_json((tmp_path / "out/evaluation.json").read_text())
    assert evaluation.training_judge is None
    assert evaluation.training_win_rates == ()


def test_no_arm_is_called_as_what_is_before_training(tmp_path: Path, tiny_folder: Path) -> None:
    arms = [{"name": "before", "recipe": "best_of_n"}, {"name": "B", "recipe": "best_of_n"}]
    with pytest.raises(UsageError, match="give the arm another name"):
        load_arms(str(recipe(tmp_path, tiny_folder, arms=arms)))


def test_a_script_in_a_name_stays_text(tmp_path: Path, tiny_folder: Path) -> None:
    arms = [{"name": f"<script>{i}", "recipe": "best_of_n"} for i in range(2)]
    run_arms(load_arms(str(recipe(tmp_path, tiny_folder, arms=arms))), out=tmp_path / "out", progress=Told())
    page = (tmp_path / "out/report.html").read_text()
    assert "&lt;script&gt;1" in page
    assert page.count("<script>") == 1  # the report's own
