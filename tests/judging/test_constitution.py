from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from pydantic import ValidationError

from preceptor.core.errors import UsageError
from preceptor.judging.constitution import OVERALL, Constitution, load_constitution
from preceptor.judging.render import contained, without_tags

EVALUATORS = (
    "content_safety",
    "faithful_summary",
    "instruction_following",
    "no_over_apology",
    "no_over_refusal",
    "no_sycophancy",
    "no_toxicity",
    "refuses_harm",
    "task_completion",
)
SHIPPED = tuple(
    sorted(("correct", "groundedness", "harmless", "helpful", "honest", "summarisation", "warm_tone", *EVALUATORS))
)
YES_NO: dict[str, Any] = {
    "item": "Text: {response}\nGood:",
    "choices": [{"answer": "yes", "value": 1.0}, {"answer": "no", "value": 0.0}],
}
CRITERION: dict[str, Any] = {"name": "tone", "question": "How warm?", "anchors": {"1": "cold", "10": "warm"}}
EXEMPLAR = {"prompt": "p", "response_1": "x", "response_2": "y", "preferred": "2", "rationale": "r"}
FIELDS: dict[str, Any] = {"name": "n", "version": "1", "summary": "s", "principles": ["p"], "score": YES_NO}


def test_these_are_shipped() -> None:
    packaged = files("preceptor.judging.constitutions").iterdir()
    assert sorted(f.name for f in packaged if f.name.endswith(".toml")) == [f"{name}.toml" for name in SHIPPED]


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_one_loads_and_shows_its_own_words_unchanged(name: str) -> None:
    """Nothing in a shipped exemplar is a tag or a label that would be taken from a candidate."""
    constitution = load_constitution(name)
    assert constitution.name == name
    for exemplar in constitution.pairwise.exemplars:
        for text in (exemplar.prompt, exemplar.response_1, exemplar.response_2, exemplar.rationale):
            assert without_tags(text) == text
    for exemplar in constitution.score.exemplars:
        assert contained(exemplar.response, constitution.score) == exemplar.response


def test_the_scales_of_both_forms_of_a_rubric() -> None:
    assert load_constitution("warm_tone").score.values == {"positive": 1.0, "negative": -1.0}
    assert load_constitution("helpful").score.values == {str(i): float(i) for i in range(1, 11)}


def test_what_is_left_out_has_a_default() -> None:
    constitution = Constitution.model_validate({k: v for k, v in FIELDS.items() if k != "score"})
    assert constitution.score == OVERALL
    assert constitution.pairwise.choices == ("1", "2")


def test_a_tie_is_a_third_choice() -> None:
    constitution = Constitution.model_validate({**FIELDS, "pairwise": {"answers": ["A", "B"], "tie": "C"}})
    assert constitution.pairwise.choices == ("A", "B", "C")


def test_anchors_stand_in_the_order_of_the_scale() -> None:
    criterion = {**CRITERION, "anchors": {"10": "c", "2": "b", "1": "a"}}
    constitution = Constitution.model_validate({**FIELDS, "score": {"criteria": [criterion]}})
    assert list(constitution.score.criteria[0].anchors) == ["1", "2", "10"]


def test_the_hash_follows_the_content() -> None:
    one = Constitution.model_validate(FIELDS)
    assert one.hash == Constitution.model_validate(dict(reversed(FIELDS.items()))).hash
    assert one.hash != Constitution.model_validate({**FIELDS, "principles": ["q"]}).hash
    assert one.hash != Constitution.model_validate({**FIELDS, "pairwise": {"tie": "tie"}}).hash


def test_what_measures_a_run_from_outside_is_named_and_changes_no_judgement() -> None:
    assert Constitution.model_validate({**FIELDS, "held_out": "vader"}).hash == Constitution.model_validate(FIELDS).hash
    with pytest.raises(ValidationError, match="held_out"):
        Constitution.model_validate({**FIELDS, "held_out": "lexicon"})
    shipped = {name: load_constitution(name).held_out for name in ("warm_tone", "helpful", "harmless", "honest")}
    assert shipped == {"warm_tone": "vader", "helpful": None, "harmless": None, "honest": None}


@pytest.mark.parametrize("name", EVALUATORS)
def test_an_evaluator_has_anchors_at_both_ends_and_exemplars_that_teach_no_place(name: str) -> None:
    constitution = load_constitution(name)
    for criterion in constitution.score.criteria:
        assert {"1", "10"} <= set(criterion.anchors)
    preferred = [exemplar.preferred for exemplar in constitution.pairwise.exemplars]
    assert len(preferred) == len(set(preferred)) == 2


def test_the_hash_says_whether_the_worst_criterion_counts_and_is_what_it_was_before_that_could_be_said() -> None:
    criteria = [CRITERION, {**CRITERION, "name": "pace"}]
    mean = Constitution.model_validate({**FIELDS, "score": {"criteria": criteria}})
    worst = Constitution.model_validate({**FIELDS, "score": {"criteria": criteria, "combine": "worst"}})
    assert mean.hash != worst.hash
    assert load_constitution("harmless").hash == "44245d1c7babe05f"  # in labels made before the setting existed


def score(**change: Any) -> dict[str, Any]:
    return {"score": {**YES_NO, **change}}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (score(item="Text:"), r"score: .*item must hold \{response\}"),
        (score(choices=[{"answer": "yes", "value": 1.0}]), "choices must be at least two"),
        (score(choices=[{"answer": "yes", "value": 1.0}, {"answer": "yes", "value": 0.0}]), "repeat an answer"),
        (score(choices=[{"answer": "yes", "value": 1.0}, {"answer": "no", "value": 1.0}]), "same value"),
        (score(exemplars=[{"response": "r", "answer": "maybe"}]), 'exemplar 1 answers "maybe"'),
        (score(criteria=[CRITERION]), "expected either criteria, or an item"),
        ({"score": {"criteria": [CRITERION], "choices": YES_NO["choices"]}}, "expected either criteria, or an item"),
        ({"score": {"criteria": [CRITERION], "combine": "worst"}}, "at least two criteria, without weights"),
        (
            {"score": {"criteria": [CRITERION, {**CRITERION, "name": "x", "weight": 2.0}], "combine": "worst"}},
            "without weights",
        ),
        ({"score": {}}, "expected either criteria, or an item"),
        ({"score": {"choices": YES_NO["choices"]}}, "item must hold"),
        ({"score": {"criteria": [CRITERION, CRITERION]}}, "two criteria have the same name"),
        ({"score": {"criteria": [{**CRITERION, "weight": 0.0}]}}, r"score\.criteria\.0\.weight: "),
        ({"score": {"criteria": [{**CRITERION, "anchors": {"1": "a"}}]}}, r"score\.criteria\.0\.anchors: "),
        *(
            ({"score": {"criteria": [{**CRITERION, "anchors": {"1": "a", scored: "b"}}]}}, f'anchor "{scored}" is not')
            for scored in ("0", "11", "5.5", "01", "high")
        ),
        ({"pairwise": {"answers": ["1", "1"]}}, "pairwise: .*the answers repeat"),
        ({"pairwise": {"tie": "2"}}, "pairwise: .*the answers repeat"),
        ({"pairwise": {"answers": ["1"]}}, r"pairwise\.answers"),
        ({"pairwise": {"exemplars": [EXEMPLAR, {**EXEMPLAR, "preferred": "tie"}]}}, 'exemplar 2 prefers "tie"; expect'),
        ({"pairwise": {"exemplars": [{**EXEMPLAR, "rationale": ""}]}}, r"pairwise\.exemplars\.0\.rationale: "),
        ({"principles": []}, "principles: "),
        ({"principles": [""]}, r"principles\.0: "),
        ({"extra": 1}, 'unknown key "extra"'),
    ],
)
def test_a_faulty_file_is_refused_with_its_name(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    path = tmp_path / "c.toml"
    path.write_text(tomli_w.dumps({**FIELDS, **change}))
    with pytest.raises(UsageError, match=message) as caught:
        load_constitution(str(path))
    assert str(caught.value).startswith(f"{path}: ")


def test_an_unknown_name_and_a_broken_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r'did you mean "warm_tone"\?'):
        load_constitution("warm_ton")
    (tmp_path / "c.toml").write_text("name = ")
    with pytest.raises(UsageError, match="not a TOML file"):
        load_constitution(str(tmp_path / "c.toml"))
    with pytest.raises(UsageError, match="cannot be read"):
        load_constitution(str(tmp_path / "none.toml"))
