"""Recipes: what ships is valid, what is wrong is said."""

import importlib.util
from pathlib import Path

import pytest

from preceptor.core.errors import UsageError
from preceptor.core.types import Message, Prompt
from preceptor.recipes.direct_rlaif import DirectRlaifRecipe
from preceptor.recipes.dpo import DpoRecipe
from preceptor.recipes.load import (
    compose,
    dump_recipe,
    load_recipe,
    load_settings,
    shipped_recipes,
    with_absolute_paths,
)
from preceptor.recipes.rlaif import RlaifRecipe
from preceptor.runs.inputs import Split, check_split, read_inputs
from preceptor.training.tracking import PACKAGES

RECIPES = shipped_recipes()


def test_each_arm_of_the_paper_is_a_recipe() -> None:
    expected = {"sft", "rlaif", "direct_rlaif", "same_size_rlaif", "rlhf", "rlhf_rlaif", "dpo", "online_dpo"}
    assert {*expected, "constitutional", "best_of_n", "quickstart"} <= set(RECIPES)


@pytest.mark.parametrize("scale", [None, "tiny"])
@pytest.mark.parametrize("name", RECIPES)
def test_a_shipped_recipe_can_be_run_and_is_what_its_file_says(name: str, scale: str | None, tmp_path: Path) -> None:
    recipe = load_recipe(name, scale=scale)
    assert read_inputs(recipe).prompts
    assert with_absolute_paths(recipe) == recipe
    path = tmp_path / "recipe.toml"
    path.write_text(dump_recipe(recipe))
    assert load_recipe(str(path)) == recipe
    if scale == "tiny":
        assert recipe.policy == "embedded"
        assert recipe.heldout_decoding.max_new_tokens == 24
        assert len(read_inputs(recipe).prompts) == 40


@pytest.mark.parametrize("name", RECIPES)
def test_a_shipped_recipe_is_valid_short_and_described(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.description
    settings = load_settings(name)

    def count(table: dict[str, object]) -> int:
        return sum(count(v) if isinstance(v, dict) else 1 for v in table.values())  # type: ignore[arg-type]

    assert count(settings) <= 15


def test_the_resolved_recipe_is_the_same_recipe(tmp_path: Path) -> None:
    recipe = load_recipe("quickstart", ["seed=7", "rl.algorithm=reinforce", "judge.model=scripted:random"])
    assert isinstance(recipe, DirectRlaifRecipe)
    assert (recipe.seed, recipe.rl.algorithm, recipe.judge.model) == (7, "reinforce", "scripted:random")
    path = tmp_path / "recipe.toml"
    path.write_text(dump_recipe(recipe))
    assert load_recipe(str(path)) == recipe


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["rl.step=5"], r'quickstart: unknown key "rl\.step"; did you mean "steps"\?'),
        (["polcy=x"], r'unknown key "polcy"; did you mean "policy"\?'),
        (["evaluation.bounds.max_kll=1"], r'did you mean "max_kl"\?'),
        (["rl.steps=many"], r"rl\.steps = 'many': expected a whole number"),
        (["rl.steps=0"], r"rl\.steps = 0: expected a number greater than or equal to 1"),
        (["rl.algorithm=rlo"], r"rl\.algorithm = 'rlo': expected 'reinforce', 'rloo'"),
        (["rl.temperature=0"], r"rl\.temperature = 0"),
        (["rl"], "expected KEY=VALUE"),
        (["seed.x=1"], "seed is a value, not a table"),
    ],
)
def test_a_wrong_setting_is_named(overrides: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        load_recipe("quickstart", ["seed=0", *overrides])


@pytest.mark.parametrize(
    ("recipe", "override", "message"),
    [
        ("rlaif", "dpo.beta=1", r'unknown key "dpo"; known: .*"judge".*"reward_processing", "rewards", "rl"'),
        ("dpo", "rl.steps=1", r'unknown key "rl"'),
        ("dpo", "dop.beta=1", r'unknown key "dop"; did you mean "dpo"\?'),
        ("sft", "judge.model=embedded", r'unknown key "judge"'),
        ("sft", "sft.demonstration=x", r'did you mean "demonstrations"\?'),
        ("rlaif", "judge.mode=score", r'unknown key "judge\.mode"; did you mean "model"\?'),
        ("best_of_n", "judge.mode=reference", r"judge\.mode = 'reference': expected 'score', 'rubric' or 'siblings'"),
        ("online_dpo", "judge.design=ladder", r"judge\.design = 'ladder'"),
        ("rlhf", "preferences.human=[]", "there are no preferences: set ai = true, or name files in human"),
        ("direct_rlaif", "rewards.weights=[1.0]", "1 weights for 0 functions"),
        ("direct_rlaif", "rewards.feedback_weight=0", "leaves no reward; name functions"),
        ("direct_rlaif", "method=direct_rlaiff", r'there is no method "direct_rlaiff"; did you mean "direct_rlaif"\?'),
        ("direct_rlaif", "tracking.with=tensorbord", r"tracking\.with = 'tensorbord'"),
        ("rlaif", "sft.epochs=0", r"sft\.epochs = 0"),
    ],
)
def test_a_setting_that_a_method_does_not_have_is_named(recipe: str, override: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        load_recipe(recipe, [override])


@pytest.mark.parametrize(
    ("recipe", "overrides", "message"),
    [
        ("best_of_n", ["judge.design=swiss"], r'judge\.mode is "score"; set judge\.mode = "siblings"'),
        ("direct_rlaif", ["judge.design=listwise"], r'judge\.mode is "score"'),
        (
            "direct_rlaif",
            ["judge.mode=siblings", "judge.design=listwise", "judge.variant=detailed+single"],
            'order = "single".*listwise',
        ),
        (
            "best_of_n",
            ["judge.mode=siblings", "judge.design=listwise", "judge.cascade=c.toml"],
            r"judge\.cascade decides comparisons",
        ),
    ],
)
def test_a_design_fits_the_way_of_judging(recipe: str, overrides: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        load_recipe(recipe, overrides).check()
    load_recipe(recipe, ["judge.mode=siblings", "judge.design=listwise"]).check()


def test_ai_preferences_always_have_a_judge_and_human_ones_only_if_it_is_named() -> None:
    recipe = load_recipe("rlhf")
    assert isinstance(recipe, RlaifRecipe)
    assert recipe.judge is None
    recipe = load_recipe("rlhf", ["preferences.ai=true"])
    assert isinstance(recipe, RlaifRecipe)
    assert recipe.judge is not None
    assert load_recipe("rlhf", ["judge.constitution=helpful"]).training_judge is not None


def test_labelled_preferences_are_in_a_recipe_only_if_they_are_named() -> None:
    assert "labelled" not in dump_recipe(load_recipe("dpo"))
    recipe = load_recipe("dpo", ["preferences.ai=false", 'preferences.labelled=["l.jsonl"]'])
    assert recipe.labelled_preferences == ("l.jsonl",)
    assert '"l.jsonl"' in dump_recipe(recipe)


def test_a_scale_leaves_optional_tables_out_and_overrides_come_after_it() -> None:
    assert load_recipe("dpo", scale="tiny").sft_first is None
    recipe = load_recipe("dpo", ["sft.epochs=2", "dpo.batch_size=3"], scale="tiny")
    assert isinstance(recipe, DpoRecipe)
    assert recipe.sft is not None
    assert (recipe.sft.epochs, recipe.dpo.batch_size, recipe.limit) == (2, 3, 40)
    with pytest.raises(UsageError, match=r'there is no scale "tinny"; did you mean "tiny"\?'):
        load_recipe("dpo", scale="tinny")


def test_a_composed_recipe_takes_common_settings_where_it_has_them_and_its_own_always() -> None:
    common = {"limit": 7, "rl": {"steps": 3}, "dpo": {"beta": 0.5}, "judge": {"mode": "siblings", "variant": "scored"}}
    recipe = compose("dpo", common, {"dpo": {"epochs": 9}}, "arm x")
    assert isinstance(recipe, DpoRecipe)
    assert (recipe.limit, recipe.dpo.beta, recipe.dpo.epochs) == (7, 0.5, 9)
    assert "mode" not in recipe.model_dump(exclude_none=True)["judge"]
    with pytest.raises(UsageError, match=r'arm x: .*unknown key "rl"'):
        compose("dpo", common, {"rl": {"steps": 1}}, "arm x")


def test_a_held_out_judge_goes_by_the_training_judges_constitution_or_one_of_its_own() -> None:
    model = "evaluation.judge.model=scripted:first"
    for recipe, overrides, constitution in (
        ("quickstart", ["judge.constitution=harmless"], "harmless"),
        ("quickstart", ["judge.constitution=harmless", "evaluation.judge.constitution=helpful"], "helpful"),
        ("sft", ["evaluation.judge.constitution=helpful"], "helpful"),
    ):
        judge = load_recipe(recipe, [model, *overrides]).held_out_judge
        assert judge is not None
        assert (judge.model, judge.constitution) == ("scripted:first", constitution)
    with pytest.raises(UsageError, match=r"no training judge .* name one by evaluation\.judge\.constitution"):
        read_inputs(load_recipe("sft", [model]))


def test_held_out_prompts_of_too_few_texts_are_refused() -> None:
    asked = [(f"{copy}-{i}", f"p{i}") for i in range(10) for copy in range(5)]
    messages = [{"id": name, "conversation": [{"role": "user", "content": text}]} for name, text in asked]
    recipe = load_recipe("sft", ["evaluation.validation_share=0.9"])
    with pytest.raises(UsageError, match="0 are left for testing, and at least 3"):
        check_split([Prompt.model_validate(each) for each in messages], recipe)


def test_a_step_takes_prompts_that_belong_together_as_a_whole() -> None:
    def split(sizes: list[int], per_step: int) -> Split:
        asked = [(f"{i}-{n}", f"p{i}") for i, size in enumerate(sizes) for n in range(size)]
        prompts = [
            Prompt(id=id_, conversation=(Message(role="user", content=id_),), metadata={"together": name})
            for id_, name in asked
        ]
        return check_split(prompts, load_recipe("quickstart", [f"rl.prompts_per_step={per_step}"]))

    found = split([2] * 60, 4)
    parts = [{prompt.together for prompt in part} for part in (found.training, found.validation, found.test)]
    assert sum(map(len, parts)) == len(set[str | None]().union(*parts)) == 60
    with pytest.raises(UsageError, match="multiple of 2"):
        split([2] * 60, 3)
    with pytest.raises(UsageError, match="1 and 2"):
        split([1, 2] * 30, 4)


def test_how_responses_are_measured_is_how_they_are_trained_unless_it_is_said() -> None:
    assert load_recipe("quickstart").heldout_decoding.max_new_tokens == 40
    assert load_recipe("dpo", ["preferences.max_new_tokens=9"]).heldout_decoding.max_new_tokens == 9
    assert load_recipe("best_of_n", ["best_of_n.temperature=0.5"]).heldout_decoding.temperature == 0.5
    assert load_recipe("quickstart", ["evaluation.max_new_tokens=5"]).heldout_decoding.max_new_tokens == 5


def test_a_tracker_that_is_not_installed_is_an_error_that_names_the_package() -> None:
    for name, packages in PACKAGES.items():
        recipe = load_recipe("quickstart", [f"tracking.with={name}"])
        if any(importlib.util.find_spec(package) for package in packages):
            read_inputs(recipe)
        else:
            with pytest.raises(UsageError, match=f"not installed; pip install {packages[0]}"):
                read_inputs(recipe)


def test_an_unknown_recipe_and_a_broken_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r'there is no recipe "quickstar"; did you mean "quickstart"\?'):
        load_recipe("quickstar")
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        load_recipe(str(tmp_path / "none.toml"))
    (tmp_path / "r.toml").write_text("a = = 1")
    with pytest.raises(UsageError, match=r"r\.toml: not a TOML file"):
        load_recipe(str(tmp_path / "r.toml"))
    (tmp_path / "r.toml").write_text("seed = 1")
    with pytest.raises(UsageError, match='"method" is missing'):
        load_recipe(str(tmp_path / "r.toml"))


@pytest.mark.parametrize(
    ("recipe", "overrides", "words"),
    [
        ("rlaif", ['preferences.unpaired=["rated.jsonl"]'], "dpo.kind"),
        ("dpo", ['preferences.unpaired=["rated.jsonl"]'], "dpo.kind"),
        ("dpo", ["preferences.threshold=5"], "unpaired"),
        ("dpo", ["dpo.kind=simpo"], "beta"),
        ("dpo", ["dpo.kind=ipo", "dpo.label_smoothing=0.1"], "conservative"),
        ("dpo", ["dpo.kind=simple"], "simpo"),
    ],
)
def test_what_a_loss_of_preferences_does_not_have_is_refused(recipe: str, overrides: list[str], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        load_recipe(recipe, overrides).check()


def test_a_loss_that_is_not_named_leaves_a_recipe_as_it_was() -> None:
    text = dump_recipe(load_recipe("dpo"))
    assert 'kind = "sigmoid"' in text
    assert not any(name in text for name in ("unpaired", "threshold", "target_margin", "offset", "desirable"))
    load_recipe("dpo", ["dpo.kind=kto", 'preferences.unpaired=["rated.jsonl"]', "preferences.ai=false"]).check()
