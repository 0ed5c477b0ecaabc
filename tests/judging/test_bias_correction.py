"""What is taken off a judge's log-odds, by hand."""

import json
import math
from pathlib import Path

import pytest
from judging_examples import CONSTITUTION, first_with, fresh_ledger

from preceptor.backends.scripted import ScriptedModel
from preceptor.core.errors import UsageError
from preceptor.core.odds import log_odds, sigmoid
from preceptor.core.types import Comparison, Message, Preference, Prompt, Rater, Response
from preceptor.judging import bias_correction
from preceptor.judging.bias_correction import BiasCorrectedJudge, BiasCorrection, corrected, taken_off
from preceptor.judging.judge_spec import JudgeSpec
from preceptor.judging.pairwise import PairwiseJudge
from preceptor.judging.settings import variant
from preceptor.judging.specs import check_judges

PROMPT = Prompt(id="q", conversation=(Message(role="user", content="q"),))


def response(text: str) -> Response:
    return Response(prompt_id="q", text=text)


def pair(a: str, b: str) -> Comparison:
    return Comparison(id="c", prompt=PROMPT, a=response(a), b=response(b))


def judge(p_first: float = 0.6) -> PairwiseJudge:
    model = ScriptedModel("cheap", first_with(lambda x, y: p_first if len(x) >= len(y) else 1 - p_first))
    return PairwiseJudge(model, CONSTITUTION, variant("detailed"), fresh_ledger())


def correction(rater: Rater, **excess: float) -> BiasCorrection:
    return BiasCorrection(
        preference=excess,  # pyright: ignore[reportArgumentType]
        judge=rater.model,
        constitution_hash=rater.constitution_hash,
        settings=rater.settings,
        prompts=50,
    )


def compare(asked: "PairwiseJudge | BiasCorrectedJudge", a: str, b: str) -> Preference:
    [preference] = asked.compare([pair(a, b)])
    assert isinstance(preference, Preference)
    return preference


def test_the_excess_of_a_text_is_a_sum_over_its_features() -> None:
    """Three characters are two doublings of one; all of its lines are items."""
    assert taken_off({"length": 0.5, "lists": 2.0}, response("- a")) == pytest.approx(0.5 * 2 + 2.0)
    assert taken_off({}, response("- a")) == 0.0


def test_log_odds_move_by_the_difference_of_two_responses() -> None:
    """Seven characters beside three are one doubling more, so the longer one loses 0.3 log-odds."""
    plain = judge()
    fixed = BiasCorrectedJudge(plain, correction(plain.rater, length=0.3))
    before, after = compare(plain, "abcdefg", "abc"), compare(fixed, "abcdefg", "abc")
    assert after.p_a == pytest.approx(sigmoid(log_odds(before.p_a) - 0.3))
    assert after.uncalibrated_p_a == before.p_a
    assert compare(fixed, "abc", "abcdefg").p_a == pytest.approx(1 - after.p_a)
    assert compare(fixed, "abc", "xyz").p_a == compare(plain, "abc", "xyz").p_a
    assert after.rater == fixed.rater
    assert "bias" in fixed.rater.settings
    assert "bias" not in plain.rater.settings


def test_a_tie_is_never_likelier_than_the_new_preference_allows() -> None:
    plain = judge()
    given = compare(plain, "abcdefg", "abc").model_copy(update={"p_tie": 0.7, "p_a": 0.5})
    moved = corrected(correction(plain.rater, length=math.log(9)), given)
    assert moved.p_a == pytest.approx(0.1)
    assert moved.p_tie == pytest.approx(0.2)


@pytest.mark.parametrize(("field", "value"), [("judge", "x"), ("constitution_hash", "y"), ("settings", {"order": "z"})])
def test_another_judges_correction_is_refused(field: str, value: object) -> None:
    plain = judge()
    other = correction(plain.rater, length=0.3).model_copy(update={field: value})
    with pytest.raises(UsageError, match=r"fitted on a judge whose .* audit"):
        BiasCorrectedJudge(plain, other)


def test_a_correction_for_comparisons_has_nothing_for_scores() -> None:
    fitted = correction(judge().rater, length=0.3)
    with pytest.raises(UsageError, match="scored"):
        fitted.of_scores()
    assert fitted.model_copy(update={"score": {"length": 1.0}}).of_scores() == {"length": 1.0}


def test_a_file_is_read_back_and_replaces_only_its_kind(tmp_path: Path) -> None:
    path, fitted = tmp_path / "bias.json", correction(judge().rater, length=0.3)
    bias_correction.check_replaceable(path)
    bias_correction.save(fitted, path)
    assert bias_correction.load(path) == fitted
    bias_correction.check_replaceable(path)
    (tmp_path / "other.json").write_text(json.dumps({"slope": 1}))
    with pytest.raises(UsageError, match="not replaced"):
        bias_correction.check_replaceable(tmp_path / "other.json")
    with pytest.raises(UsageError, match="save-bias"):
        bias_correction.load(tmp_path / "other.json")


def test_judges_without_a_correction_are_written_as_before() -> None:
    assert "bias" not in JudgeSpec().model_dump()
    assert JudgeSpec(bias="b.json").model_dump()["bias"] == "b.json"


def test_votes_and_cascades_are_not_corrected(tmp_path: Path) -> None:
    path = tmp_path / "bias.json"
    bias_correction.save(correction(judge().rater, length=0.3), path)
    with pytest.raises(UsageError, match="votes"):
        check_judges([JudgeSpec(model="scripted:first", variant="detailed+vote", bias=str(path))])
    with pytest.raises(UsageError, match="cascade"):
        JudgeSpec(bias=str(path), cascade="c.json")
