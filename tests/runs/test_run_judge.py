"""The judges of a run: a cascade compares, every model behind it is pinned, and a bias is taken off."""

import json
from pathlib import Path

import pytest

from preceptor.core.errors import UsageError
from preceptor.core.odds import log_odds
from preceptor.core.types import Comparison, Message, Preference, Prompt, Rater, Response
from preceptor.judging import bias_correction
from preceptor.judging import cascade as cascades
from preceptor.judging.bias_correction import BiasCorrection, Excess
from preceptor.judging.cascade import Cascade, CascadeStep
from preceptor.judging.constitution import load_constitution
from preceptor.judging.judge import Judge
from preceptor.judging.settings import PairwiseSettings
from preceptor.recipes.load import dump_recipe, load_recipe
from preceptor.recipes.settings import ComparingJudgeSettings, EscalationSettings
from preceptor.runs.directory import RunDirectory
from preceptor.runs.inputs import read_inputs
from preceptor.runs.judge import RunJudge
from preceptor.store.ledger import Ledger

ASKED = Prompt(id="q", conversation=(Message(role="user", content="q"),))
PAIR = Comparison(id="c", prompt=ASKED, a=Response(prompt_id="q", text="x"), b=Response(prompt_id="q", text="y"))


def step(model: str, threshold: float) -> CascadeStep:
    with Judge(model, "helpful") as judge:
        outcome = judge.compare("q", "x", "y")
    assert isinstance(outcome, Preference)
    rater = outcome.rater
    return CascadeStep(
        judge=judge.spec,
        threshold=threshold,
        asked=1.0,
        identity=rater.model,
        constitution_hash=rater.constitution_hash,
        settings=rater.settings,
    )


def run_judge(folder: Path, *overrides: str) -> RunJudge:
    recipe = load_recipe(
        "rlaif", ["judge.model=scripted:first", "judge.constitution=helpful", "judge.variant=detailed", *overrides]
    )
    judge = recipe.training_judge
    assert judge is not None
    directory = RunDirectory.create(folder, recipe)
    return RunJudge(judge, load_constitution(judge.constitution), Ledger(Path(":memory:")), directory)


def pinned(folder: Path) -> dict[str, str]:
    return json.loads((folder / "inputs.json").read_text())


def test_a_cascade_compares_in_a_run(tmp_path: Path) -> None:
    """The first judge is undecided in both orders together, so the second one answers."""
    path = tmp_path / "cascade.json"
    steps = (step("scripted:first", 0.9), step("scripted:random", 0.5))
    cascades.save(Cascade(agreement=0.8, certainty=0.9, labels=100, steps=steps), path)
    judge = run_judge(tmp_path / "run", f"judge.cascade={path}")
    assert isinstance(judge.settings, ComparingJudgeSettings)
    [answer] = judge.comparer(judge.settings.variant).compare([PAIR])
    assert isinstance(answer, Preference)
    assert answer.rater.model == "scripted:random"
    names = pinned(tmp_path / "run")
    assert (names["judge"], names["judge scripted:random"]) == ("scripted:first", "scripted:random")


def test_the_second_judge_of_rl_is_pinned(tmp_path: Path) -> None:
    judge = run_judge(tmp_path / "run")
    second = judge.second_scorer(EscalationSettings(model="scripted:random", per_step=3))
    assert second.rater.model == "scripted:random"
    assert pinned(tmp_path / "run")["second judge"] == "scripted:random"


def test_a_bias_is_taken_off_comparisons_and_scores_in_a_run(tmp_path: Path) -> None:
    """Both responses have one character; of a longer one, a log-odds of 2 for each doubling is taken off."""
    path = tmp_path / "bias.json"
    longer = PAIR.model_copy(update={"a": PAIR.a.model_copy(update={"text": "xyz"})})
    plain = run_judge(tmp_path / "plain").comparer("detailed")
    bias_correction.save(correction(plain.rater), path)
    judge = run_judge(tmp_path / "run", f"judge.bias={path}")
    assert isinstance(judge.settings, ComparingJudgeSettings)
    given, taken = plain.compare([longer, PAIR]), judge.comparer("detailed").compare([longer, PAIR])
    p_a = [outcome.p_a for outcome in (*given, *taken) if isinstance(outcome, Preference)]
    assert log_odds(p_a[0]) - log_odds(p_a[2]) == pytest.approx(2.0)
    assert p_a[1] == p_a[3]
    with pytest.raises(UsageError, match="settings"):
        judge.comparer("base")


def test_a_bias_of_scores_is_that_of_the_judge_that_scores(tmp_path: Path) -> None:
    path, asked = tmp_path / "bias.json", ["judge.model=scripted:first", "judge.constitution=warm_tone"]
    with Judge("scripted:first", "warm_tone", settings=PairwiseSettings(shown="alone")) as alone:
        outcome = alone.compare("q", "x", "y")
    assert isinstance(outcome, Preference)
    bias_correction.save(correction(outcome.rater, score={"length": 2.0}), path)
    recipe = load_recipe("direct_rlaif", [*asked, f"judge.bias={path}"])
    settings = recipe.training_judge
    assert settings is not None
    assert settings.bias == str(path)
    read_inputs(recipe)
    directory = RunDirectory.create(tmp_path / "run", recipe)
    judge = RunJudge(settings, load_constitution("warm_tone"), Ledger(Path(":memory:")), directory)
    assert judge.score_correction() == {"length": 2.0}
    bias_correction.save(correction(outcome.rater), path)
    with pytest.raises(UsageError, match="holds nothing for scores"):
        read_inputs(recipe)
    bias_correction.save(correction(outcome.rater, score={}), path)
    with pytest.raises(UsageError, match=r'judge\.reward is "expectation"'):
        read_inputs(load_recipe("direct_rlaif", [*asked, f"judge.bias={path}", "judge.reward=expectation"]))


def test_a_recipe_without_a_bias_has_the_hash_that_it_had() -> None:
    assert "\nbias =" not in dump_recipe(load_recipe("direct_rlaif"))
    assert "\nbias =" in dump_recipe(load_recipe("direct_rlaif", ["judge.bias=b.json"]))


@pytest.mark.parametrize("other", ["judge.mode=rubric", "judge.mode=siblings judge.design=listwise"])
def test_a_bias_needs_log_odds(other: str) -> None:
    with pytest.raises(UsageError, match=r"judge\.bias"):
        load_recipe("direct_rlaif", ["judge.bias=b.json", *other.split()]).check()


def correction(rater: Rater, score: Excess | None = None) -> BiasCorrection:
    return BiasCorrection(
        preference={"length": 2.0},
        score=score,
        judge=rater.model,
        constitution_hash=rater.constitution_hash,
        settings=rater.settings,
        prompts=50,
    )
