"""Runs side by side: two small ones that differ in a setting and in the constitution, and folders that are no runs."""

import json
import shutil
from importlib.resources import files
from pathlib import Path

import pytest

from preceptor.core.errors import PreceptorError, UsageError
from preceptor.evaluation.checkpoints.snapshot import Snapshot
from preceptor.evaluation.intervals import Estimate
from preceptor.evaluation.policies.result import Evaluation
from preceptor.evaluation.policies.win_rate import WinRate
from preceptor.judging.constitution import load_constitution
from preceptor.methods.execute import execute
from preceptor.recipes.load import load_recipe
from preceptor.results.comparison import ComparisonResult, ResultRow
from preceptor.runs.directory import RunDirectory
from preceptor.tasks.compare.compare import compare
from small import Told, settings

WARM = files("preceptor.judging.constitutions").joinpath("warm_tone.toml").read_text()


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path) -> list[Path]:
    """A finished run, and one that might have come of a faster learner and another version of the constitution: a copy
    whose held-out scores are higher by 1, 2, 3, ... hundredths.
    """
    folder = tmp_path_factory.mktemp("compared")
    slow, fast, own = folder / "slow", folder / "fast", folder / "warm.toml"
    small = [*settings(folder, tiny_folder), "rl.steps=1", "evaluation.samples_per_prompt=1"]
    execute(RunDirectory.create(slow, load_recipe("quickstart", small)), Told())
    shutil.copytree(slow, fast)
    own.write_text(WARM.replace('version = "', 'version = "9.', 1))
    recipe = (slow / "recipe.toml").read_text().replace("learning_rate = 0.001", "learning_rate = 0.5")
    recipe = recipe.replace('constitution = "warm_tone"', f'constitution = "{own}"')
    (fast / "recipe.toml").write_text(recipe.replace('description = "', 'description = "the fast one: ', 1))
    summary = json.loads((slow / "summary.json").read_text())
    version = load_constitution(str(own))
    summary["constitution"] |= {"version": version.version, "hash": version.hash}
    (fast / "summary.json").write_text(json.dumps(summary | {"judge_calls": 7}))
    after = Snapshot.model_validate_json((slow / "evaluations/after.json").read_text())
    raised = tuple(
        each.model_copy(update={"heldout_score": (each.heldout_score or 0.0) + 0.01 * number})
        for number, each in enumerate(after.responses, start=1)
    )
    (fast / "evaluations/after.json").write_text(after.model_copy(update={"responses": raised}).model_dump_json())
    return [slow, fast]


@pytest.fixture(scope="module")
def compared(runs: list[Path]) -> ComparisonResult:
    return compare(runs)


def row(compared: ComparisonResult, measure: str) -> ResultRow:
    [found] = [each for each in compared.results if each.measure == measure]
    return found


def test_settings_that_differ_and_no_others(compared: ComparisonResult, runs: list[Path]) -> None:
    own = str(runs[0].parent / "warm.toml")
    assert {each.key: each.values for each in compared.settings} == {
        "judge.constitution": ("warm_tone", own),
        "rl.learning_rate": ("0.001", "0.5"),
    }
    assert [side.name for side in compared.sides] == ["slow", "fast"]


def test_results_are_those_of_the_summaries(compared: ComparisonResult, runs: list[Path]) -> None:
    summaries = [json.loads((path / "summary.json").read_text()) for path in runs]
    after = [each["evaluation"]["after"] for each in summaries]
    assert row(compared, "KL, nats per response").values == tuple(
        Estimate.model_validate(each["kl"]["overall"]) for each in after
    )
    gains = row(compared, "held-out score (VADER), gain")
    assert gains.values == tuple(Estimate.model_validate(each["heldout_change"]) for each in summaries)
    assert gains.signed
    assert row(compared, "judge calls").values == (float(summaries[0]["judge_calls"]), 7.0)
    assert row(compared, "cost of all calls, $").values == (0.0, 0.0)
    assert row(compared, "preferred to the baseline (VADER)").percent


def test_differences_are_paired_by_prompt_and_corrected(compared: ComparisonResult, runs: list[Path]) -> None:
    prompts = len(Snapshot.model_validate_json((runs[0] / "evaluations/after.json").read_text()).responses)
    [found] = compared.differences
    assert (found.name, found.against, found.measure) == ("fast", "slow", "held-out score")
    assert found.difference.value == pytest.approx(0.01 * (prompts + 1) / 2)
    assert found.difference.n == prompts
    assert found.p_value == pytest.approx(2 / 2**prompts)  # all of one sign: two of all patterns are as far from 0
    assert found.p_value is not None
    assert found.p_holm == found.p_value  # of one question
    assert compared.notes == ()


def test_three_runs_are_corrected_together(runs: list[Path], tmp_path: Path) -> None:
    shutil.copytree(runs[1], tmp_path / "fast")
    compared = compare([*runs, tmp_path / "fast"])
    above = runs[0].parent.name
    assert [side.name for side in compared.sides] == [f"{above}/slow", f"{above}/fast", f"{tmp_path.name}/fast"]
    assert len(compared.differences) == 3
    for each in compared.differences:
        assert each.p_value is not None
        assert each.p_holm == pytest.approx(min(1.0, 3 * each.p_value), abs=1e-9) or each.p_value == 1.0
    assert "best of several" in compared.notes[0]
    same = compared.differences[2]
    assert (same.difference.value, same.p_value, same.significant) == (0.0, 1.0, False)


def test_constitutions_and_a_file_that_changed_since(runs: list[Path], tmp_path: Path) -> None:
    warm, own = compare(runs).constitutions
    assert (warm.sides, own.sides) == (("slow",), ("fast",))
    assert (warm.text, own.text) == (WARM, (runs[0].parent / "warm.toml").read_text())
    assert warm.note is None
    assert "9." in own.title
    path = runs[0].parent / "warm.toml"
    kept = path.read_text()
    for now in (kept.replace("9.", "10.", 1), "nothing"):
        path.write_text(now)
        own = compare(runs).constitutions[1]
        assert own.note is not None
        assert "has changed or was removed since the run" in own.note
        assert own.text is not None
        assert "\n- " in own.text  # the principles that the run recorded
    path.write_text(kept)


def test_prompts_of_other_runs_are_compared_as_far_as_they_are_the_same(runs: list[Path], tmp_path: Path) -> None:
    other = shutil.copytree(runs[1], tmp_path / "other")
    file = other / "evaluations/after.json"
    after = Snapshot.model_validate_json(file.read_text())
    first, second, *rest = after.responses
    renamed = (first.model_copy(update={"prompt": "another question"}), second.model_copy(update={"prompt_id": "new"}))
    file.write_text(after.model_copy(update={"responses": (*renamed, *rest)}).model_dump_json())
    compared = compare([runs[0], other])
    [found] = compared.differences
    assert found.difference.n == len(after.responses) - 2
    assert "were measured on different prompts" in compared.notes[0]
    assert f"on the {len(rest)} that they share" in compared.notes[0]
    summary = json.loads((other / "summary.json").read_text())
    (other / "summary.json").write_text(json.dumps(summary | {"heldout_score_is": "another"}))
    compared = compare([runs[0], other])
    assert compared.differences == ()
    assert "by different measures and cannot be compared" in compared.notes[0]
    assert row(compared, "held-out score").values[0] is not None


def test_an_evaluation_stands_beside_runs(runs: list[Path], tmp_path: Path) -> None:
    folder = tmp_path / "judged"
    folder.mkdir()
    rate = Estimate(value=0.7, low=0.6, high=0.8, n=50)
    written = evaluation(rate)
    (folder / "evaluation.json").write_text(written.model_dump_json())
    compared = compare([runs[0], folder])
    assert row(compared, "preferred to the baseline").values[1] == rate
    assert row(compared, "preferred to the baseline").percent
    assert row(compared, "KL, nats per response").values[1] is None
    assert "The win rates are by different judges and cannot be compared: VADER, j." in compared.notes
    assert compared.settings == ()
    assert compared.sides[1].recipe is None
    (folder / "evaluation.json").write_text(written.model_dump_json().replace('"prompts":50', '"prompts":"x"'))
    with pytest.raises(PreceptorError, match=r"evaluation\.json: is damaged"):
        compare([runs[0], folder])


def evaluation(rate: Estimate) -> Evaluation:
    """Two policies, and next to nothing known of them."""
    win = {"policy": "new", "against": "old", "wins": 35, "ties": 0, "losses": 15, "single_order": None}
    facts = {"source": "s", "identity": "i", "responses": 50, "failed": 0, "characters": None, "finished": None}
    judge = {"name": "j", "identity": "i", "constitution": None, "variant": None, "compared": 50, "failures": {}}
    empty = ("training_win_rates", "significance", "length_control", "ratings", "changes", "rates", "examples")
    return Evaluation.model_validate(
        {
            "title": "t",
            "policies": [{"name": "old", **facts}, {"name": "new", **facts}],
            "judge": {**judge, "position_bias": None, "first_position_rate": None},
            "training_judge": None,
            "judge_trained": False,
            "prompts": 50,
            "cohorts": ["all"],
            "win_rates": [
                WinRate.model_validate(
                    {**win, "cohort": cohort, "rate": rate, "soft": rate, "orders_disagree": None, "p_value": 0.01}
                )
                for cohort in ("all", None)
            ],
            **dict.fromkeys(empty, ()),
            "disagreement": {},
            "audit": None,
            "lengths": {},
            "cost": None,
            "facts": {},
        }
    )


def test_a_run_that_is_not_finished_has_settings_but_no_results(runs: list[Path], tmp_path: Path) -> None:
    begun = shutil.copytree(runs[1], tmp_path / "begun")
    (begun / "summary.json").write_text(json.dumps({"status": "running"}))
    compared = compare([runs[0], begun])
    assert "begun is not finished, so it has no results here." in compared.notes
    assert len(compared.settings) == 2
    assert compared.differences == ()
    assert row(compared, "judge calls").values[1] is None


def test_what_is_written_and_printed(
    runs: list[Path], compared: ComparisonResult, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written = compare(runs, out=tmp_path / "out")
    assert written.model_dump() == compared.model_dump()
    assert ComparisonResult.load(tmp_path / "out") == written
    assert "learning_rate" in (tmp_path / "out/compare.html").read_text()
    assert "VADER" in (tmp_path / "out/compare.md").read_text()
    print(compared)
    said = capsys.readouterr().out
    assert "rl.learning_rate" in said
    assert "fast minus slow" in said


def test_sides_may_be_given_names(runs: list[Path]) -> None:
    result = compare(runs, names=["small step", "large step"])
    assert [side.name for side in result.sides] == ["small step", "large step"]
    assert (result.path / "compare.html").exists()  # in a temporary folder
    for names in (["one"], ["one", "one"]):
        with pytest.raises(UsageError, match="names for 2 runs"):
            compare(runs, names=names)


def test_mistakes_are_answered(runs: list[Path], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="name two or more runs"):
        compare(runs[:1])
    with pytest.raises(UsageError, match="the same folder is named twice"):
        compare([runs[0], runs[0] / ".." / "slow"])
    with pytest.raises(UsageError, match=r"holds neither a run .* nor an evaluation"):
        compare([runs[0], tmp_path])
    (tmp_path / "arms").mkdir()
    with pytest.raises(UsageError, match=r"holds several runs; compare those in .*arms"):
        compare([runs[0], tmp_path])
