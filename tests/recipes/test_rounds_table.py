"""The table [rounds]: what fits it, and what is refused before anything runs."""

import json
from pathlib import Path

import pytest

from preceptor.core.errors import UsageError
from preceptor.recipes.load import dump_recipe, load_recipe
from preceptor.recipes.rounds import RoundsSettings
from preceptor.recipes.settings import PreferenceSettings
from preceptor.runs.inputs import read_inputs

SELF = ["rounds.count=2", "rounds.judge=policy"]
OUTSIDE = "evaluation.judge.model=scripted:random"


def test_a_number_is_the_count() -> None:
    assert load_recipe("dpo", ["rounds=3"]).rounds == RoundsSettings(count=3)
    with pytest.raises(UsageError, match=r"rounds\.count"):
        load_recipe("dpo", ["rounds=1"])


def test_recipes_without_rounds_are_written_as_before() -> None:
    for name in ("dpo", "rlaif", "online_dpo", "best_of_n"):
        written = dump_recipe(load_recipe(name))
        assert all(word not in written for word in ("rounds", "begin", "labelled"))


@pytest.mark.parametrize(
    ("recipe", "overrides", "said"),
    [
        ("sft", ["rounds=2"], "dpo, direct_rlaif"),
        ("constitutional", ["rounds=2"], "runs once"),
        ("best_of_n", ["rounds.count=2", "rounds.reference=first"], "without a reference"),
        ("best_of_n", ["rounds.count=2", "rounds.earlier_labels=1.0"], "earlier_labels = 1"),
        ("online_dpo", ["rounds.count=2", "rounds.earlier_labels=0.5"], "earlier_labels = 0.5"),
        ("dpo", ["rounds=2", "preferences.ai=false", 'preferences.human=["package:human_preferences"]'], "ai = false"),
        ("dpo", ["rounds=2", "begin=somewhere"], "single run"),
        ("sft", ["begin=somewhere"], "cannot begin"),
        ("best_of_n", [*SELF, OUTSIDE, "best_of_n.reward_model=embedded"], "no judge"),
        ("dpo", SELF, "evaluation.judge.model"),
        ("dpo", [*SELF, "evaluation.judge.model=embedded"], "not from outside"),
        ("dpo", [*SELF, OUTSIDE, "judge.model=scripted:first"], 'judge.model says "scripted:first"'),
        ("dpo", [*SELF, OUTSIDE, "sft.epochs=1"], "[sft]"),
    ],
)
def test_what_does_not_fit_is_refused(recipe: str, overrides: list[str], said: str) -> None:
    with pytest.raises(UsageError) as refused:
        load_recipe(recipe, overrides).check()
    assert said in str(refused.value)


def test_a_policy_may_judge_itself_beside_a_judge_from_outside() -> None:
    load_recipe("dpo", [*SELF, OUTSIDE]).check()


def test_rounds_need_a_measure_with_an_interval(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"evaluation\.judge\.model"):
        read_inputs(load_recipe("dpo", ["rounds=2"]))
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text("".join(json.dumps({"prompt": f"Say {number}"}) + "\n" for number in range(30)))
    few = load_recipe("dpo", ["rounds=2", "judge.constitution=warm_tone", f"prompts={prompts}"])
    with pytest.raises(UsageError, match=r"3 validation prompts.*at least 10"):
        read_inputs(few)


def test_each_labelled_dataset_has_its_weight() -> None:
    settings = PreferenceSettings(labelled=("a", "b"), labelled_weights=(0.25, 0.5), ai_weight=2.0)
    assert settings.weights_of_labelled == (0.5, 1.0)
    assert PreferenceSettings(labelled=("a", "b"), ai_weight=2.0).weights_of_labelled == (2.0, 2.0)
    with pytest.raises(ValueError, match="1 labelled_weights for 2"):
        PreferenceSettings(labelled=("a", "b"), labelled_weights=(0.25,))
