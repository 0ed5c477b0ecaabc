"""Several judges as one, and calibrated ones."""

from pathlib import Path
from typing import Any

import pytest
from judging_examples import CONSTITUTION, WITH_TIES, compared, failed, fresh_ledger, gives, likes, preferred

from preceptor.backends.base import ChooseRequest
from preceptor.backends.scripted import ScriptedModel
from preceptor.core.errors import UsageError
from preceptor.core.types import JudgeFailure
from preceptor.judging.calibration import Calibration
from preceptor.judging.constitution import Constitution
from preceptor.judging.ensemble import CalibratedJudge, EnsembleJudge
from preceptor.judging.judge import Judge
from preceptor.judging.pairwise import PairwiseJudge
from preceptor.judging.settings import variant

COMPARED = compared("a", "b")


def member(name: str, p: float, way: str = "detailed", constitution: Constitution = CONSTITUTION) -> PairwiseJudge:
    """A judge that prefers "a" with probability p in both orders."""
    return PairwiseJudge(ScriptedModel(name, likes("a", p)), constitution, variant(way), fresh_ledger())


def refuses(request: ChooseRequest) -> JudgeFailure:
    return JudgeFailure(reason="refused", detail="no")


def calibration(judge: PairwiseJudge, slope: float = 0.5) -> Calibration:
    return Calibration(
        method="temperature",
        slope=slope,
        position_bias=0.0,
        judge=judge.rater.model,
        constitution_hash=judge.rater.constitution_hash,
        settings=judge.rater.settings,
        n=20,
        nll_before=0.7,
        nll_after=0.6,
    )


def test_the_weighted_mean_and_the_disagreement() -> None:
    """(3 · 0.9 + 1 · 0.5) / 4 = 0.8; the two differ from their own mean 0.7 by 0.2."""
    ensemble = EnsembleJudge([member("one", 0.9), member("two", 0.5, "single")], [3.0, 1.0])
    preference = preferred(ensemble.compare([COMPARED])[0])
    assert preference.p_a == pytest.approx(0.8)
    assert preference.disagreement == pytest.approx(0.2)
    assert [m.p_a for m in preference.members] == pytest.approx([0.9, 0.5])
    assert [p.order for p in preference.presentations] == ["ab", "ba", "ab"]
    assert preference.usage.prompt_tokens == 30


def test_ties_are_averaged_too() -> None:
    model = ScriptedModel("ties", lambda request: gives(0.3, 0.3, 0.4))
    ties = PairwiseJudge(model, WITH_TIES, variant("detailed"), fresh_ledger())
    preference = preferred(EnsembleJudge([member("one", 0.9), ties], [1.0, 3.0]).compare([COMPARED])[0])
    assert preference.p_tie == pytest.approx(0.3)
    assert preference.p_a == pytest.approx((0.9 + 3 * 0.5) / 4)


def test_the_rater_names_all_of_them() -> None:
    ensemble = EnsembleJudge([member("one", 0.9), member("two", 0.5, "cot")], [3.0, 1.0])
    assert ensemble.rater.model == "scripted:one + scripted:two"
    assert ensemble.rater.constitution == "n 1"
    assert ensemble.rater.constitution_hash == CONSTITUTION.hash
    assert ensemble.rater.settings["weights"] == [3.0, 1.0]
    judges: Any = ensemble.rater.settings["judges"]
    assert [settings["rationale"] for settings in judges] == [False, True]
    assert [m.rater.model for m in ensemble.members] == ["scripted:one", "scripted:two"]


def test_one_judge_that_fails_is_no_preference_and_is_named() -> None:
    broken = PairwiseJudge(ScriptedModel("s", refuses), CONSTITUTION, variant("detailed"), fresh_ledger())
    [outcome] = EnsembleJudge([member("one", 0.9), broken], [1.0, 1.0]).compare([COMPARED])
    assert failed(outcome) == JudgeFailure(reason="refused", detail="judge 2 of the ensemble: order ab: no")


def test_a_calibrated_judge() -> None:
    """Half the log-odds: odds of 9 become 3, a probability of 0.75."""
    judge = member("one", 0.9)
    corrected = CalibratedJudge(judge, calibration(judge))
    preference = preferred(corrected.compare([COMPARED])[0])
    assert preference.p_a == pytest.approx(0.75)
    assert preference.uncalibrated_p_a == pytest.approx(0.9)
    assert preference.rater == corrected.rater
    assert corrected.rater.settings["calibration"] == calibration(judge).hash
    assert corrected.members == (judge,)


def test_a_calibrated_judge_in_an_ensemble() -> None:
    judge = member("one", 0.9)
    ensemble = EnsembleJudge([CalibratedJudge(judge, calibration(judge)), member("two", 0.5)], [1.0, 1.0])
    preference = preferred(ensemble.compare([COMPARED])[0])
    assert preference.p_a == pytest.approx(0.625)
    judges: Any = ensemble.rater.settings["judges"]
    assert judges[0]["calibration"] == calibration(judge).hash


def test_a_failure_stays_one_under_calibration() -> None:
    broken = PairwiseJudge(ScriptedModel("s", refuses), CONSTITUTION, variant("detailed"), fresh_ledger())
    [outcome] = CalibratedJudge(broken, calibration(broken)).compare([COMPARED])
    assert failed(outcome).reason == "refused"


def test_another_judges_calibration_is_refused() -> None:
    with pytest.raises(UsageError, match="fitted on a judge whose model is scripted:two, this one's is scripted:one"):
        CalibratedJudge(member("one", 0.9), calibration(member("two", 0.9))).compare([COMPARED])
    with pytest.raises(UsageError, match="whose settings"):
        CalibratedJudge(member("one", 0.9), calibration(member("one", 0.9, "single"))).compare([COMPARED])


def test_judges_that_vote_have_one_vote_each_however_sure_they_are() -> None:
    """Two of three barely prefer a (0.6), the third is sure of b (0.99). The mean prefers b: (0.6 + 0.6 + 0.01) / 3."""
    opinions = [("one", 0.6), ("two", 0.6), ("three", 0.01)]
    mean = EnsembleJudge([member(name, p) for name, p in opinions], [1.0] * 3)
    panel = EnsembleJudge([member(name, p, "detailed+vote") for name, p in opinions], [1.0] * 3)
    assert preferred(mean.compare([COMPARED])[0]).p_a == pytest.approx(1.21 / 3)
    vote = preferred(panel.compare([COMPARED])[0])
    assert vote.p_a == pytest.approx(2 / 3)
    assert [each.p_a for each in vote.members] == [1.0, 1.0, 0.0]
    assert vote.members[0].presentations[0].p_a == pytest.approx(0.6)  # what the judge said is kept


def test_a_vote_for_a_tie_is_half_a_vote_for_each() -> None:
    model = ScriptedModel("ties", lambda request: gives(0.3, 0.1, 0.6))
    [vote] = PairwiseJudge(model, WITH_TIES, variant("detailed+vote"), fresh_ledger()).compare([COMPARED])
    assert (preferred(vote).p_a, preferred(vote).p_tie, preferred(vote).likeliest) == (0.5, 1.0, "tie")


def test_voting_is_part_of_who_judged_only_where_it_is_set() -> None:
    assert member("one", 0.6, "detailed+vote").rater.settings["vote"] is True
    assert "vote" not in member("one", 0.6).rater.settings
    assert "vote" not in variant("scored").for_rater()


def test_a_vote_cannot_be_calibrated(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="votes"):
        Judge("scripted:random", variant="detailed+vote", calibration=tmp_path / "judge.json")
