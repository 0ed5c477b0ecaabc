"""The judges of a run: a cascade compares, and every model behind it is pinned."""

import json
from pathlib import Path

from preceptor.core.types import Comparison, Message, Preference, Prompt, Response
from preceptor.judging import cascade as cascades
from preceptor.judging.cascade import Cascade, CascadeStep
from preceptor.judging.constitution import load_constitution
from preceptor.judging.judge import Judge
from preceptor.recipes.load import load_recipe
from preceptor.recipes.settings import ComparingJudgeSettings, EscalationSettings
from preceptor.runs.directory import RunDirectory
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
