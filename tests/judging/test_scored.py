"""Comparing by scores of responses that are shown alone: hand numbers, and what a failure does."""

import pytest
from judging_examples import CONSTITUTION, compared, failed, fresh_ledger, gives, place, preferred, response, text_of

from conftest import prompt
from preceptor.backends.base import ChoiceLogProbs, ChooseRequest
from preceptor.backends.scripted import ScriptedModel
from preceptor.core.errors import UsageError
from preceptor.core.types import Comparison, HumanLabel, JudgeFailure, Rater, Score, Verdict
from preceptor.judging.calibration import fit
from preceptor.judging.constitution import Constitution, load_constitution
from preceptor.judging.ensemble import EnsembleJudge
from preceptor.judging.pairwise import PairwiseJudge
from preceptor.judging.scored import ScoredPairJudge, higher
from preceptor.judging.settings import PairwiseSettings, variant

WARM = load_constitution("warm_tone")
ALONE = PairwiseSettings(shown="alone")
TWO_CRITERIA = Constitution.model_validate(
    {
        **CONSTITUTION.model_dump(exclude={"score"}),
        "score": {
            "criteria": [
                {"name": "tone", "question": "How warm?", "anchors": {"1": "cold", "10": "warm"}, "weight": 3.0},
                {"name": "use", "question": "How useful?", "anchors": {"1": "no", "10": "yes"}},
            ]
        },
    }
)
POSITIVE = {"warm": 0.9, "plain": 0.6, "cold": 0.2}


def by_text(request: ChooseRequest) -> ChoiceLogProbs | JudgeFailure:
    """The probability of "positive" that `POSITIVE` gives to the text to be judged."""
    text = text_of(request).rsplit("Text: ", 1)[-1].removesuffix("\nSentiment:").strip()
    if text not in POSITIVE:
        return JudgeFailure(reason="refused", detail=f"not {text}")
    return gives(POSITIVE[text], 1 - POSITIVE[text])


def warm_judge(model: ScriptedModel) -> ScoredPairJudge:
    return ScoredPairJudge(model, WARM, ALONE, fresh_ledger())


def score(**probabilities: float) -> Score:
    """A score over the choices 1, 2, 3, given as `_1`, `_2`, `_3`."""
    verdict = Verdict(probabilities={name[1:]: p for name, p in probabilities.items()}, choice_mass=1.0)
    values = {name: float(name) for name in verdict.probabilities}
    return Score(verdict=verdict, values=values, rater=Rater(model="m", constitution="c", constitution_hash="h"))


def test_two_score_distributions_become_a_preference() -> None:
    # a: 1, 2, 3 with .2, .3, .5; b with .5, .4, .1.
    # P(a > b) = .3·.5 + .5·(.5 + .4) = .60; P(equal) = .2·.5 + .3·.4 + .5·.1 = .27.
    p_a, p_tie = higher(score(_1=0.2, _2=0.3, _3=0.5), score(_1=0.5, _2=0.4, _3=0.1), {})
    assert p_a == pytest.approx(0.60 + 0.27 / 2)
    assert p_tie == pytest.approx(0.27)


def test_equal_distributions_are_one_half_exactly_and_places_exchange() -> None:
    one, other = score(_1=0.1, _2=0.7, _3=0.2), score(_1=0.3, _2=0.3, _3=0.4)
    assert higher(one, one, {})[0] == 0.5
    assert higher(one, other, {})[0] + higher(other, one, {})[0] == pytest.approx(1.0, abs=1e-15)
    certain = score(_1=0.0, _2=0.0, _3=1.0), score(_1=1.0, _2=0.0, _3=0.0)
    assert higher(*certain, {}) == (1.0, 0.0)


def test_a_constitution_that_only_scores_compares() -> None:
    model = ScriptedModel("s", by_text)
    judge = warm_judge(model)
    [preference] = [preferred(p) for p in judge.compare([compared("warm", "cold")])]
    # .9·.8 + (.9·.2 + .1·.8) / 2 = .72 + .13
    assert preference.p_a == pytest.approx(0.85)
    assert preference.p_tie == pytest.approx(0.26)
    first, second = preference.presentations
    assert (first.order, second.order) == ("ab", "ba")
    assert first.verdict.probabilities["positive"] == pytest.approx(0.9)
    assert second.verdict.probabilities["positive"] == pytest.approx(0.2)
    assert first.p_a == second.p_a == preference.p_a
    assert preference.disagreement == 0.0
    assert preference.rater.settings == {"rationale": False, "shown": "alone"}


def test_a_response_of_several_comparisons_is_scored_once() -> None:
    model = ScriptedModel("s", by_text)
    judge = warm_judge(model)
    pairs = [compared("warm", "cold", "1"), compared("plain", "warm", "2"), compared("cold", "plain", "3")]
    results = [preferred(p).p_a for p in judge.compare(pairs)]
    assert results == pytest.approx([0.85, 0.5 + (0.6 - 0.9) / 2, 0.5 + (0.2 - 0.6) / 2])
    assert (len(model.asked), judge.model.asked, judge.model.hits) == (3, 3, 0)
    assert preferred(judge.compare([pairs[0].swapped()])[0]).p_a == pytest.approx(0.15)
    assert len(model.asked) == 3  # on record


def test_the_same_answer_to_another_prompt_is_another_response() -> None:
    said: list[str] = []

    def warm_if_asked_kindly(request: ChooseRequest) -> ChoiceLogProbs:
        said.append(place(text_of(request), "prompt"))
        return gives(*[0.01] * 9, 0.91) if "please" in said[-1] else gives(0.91, *[0.01] * 9)

    judge = ScoredPairJudge(ScriptedModel("s", warm_if_asked_kindly), CONSTITUTION, ALONE, fresh_ledger())
    pairs = [
        Comparison(id=q, prompt=prompt(q), a=response("same", question=q), b=response(q, question=q))
        for q in ("please", "now")
    ]
    assert [preferred(p).p_a for p in judge.compare(pairs)] == [0.5, 0.5]
    assert len(said) == 4


def test_either_failure_is_the_failure_of_the_comparison() -> None:
    judge = warm_judge(ScriptedModel("s", by_text))
    outcomes = judge.compare([compared("odd", "cold"), compared("warm", "odd"), compared("warm", "cold")])
    assert failed(outcomes[0]) == JudgeFailure(reason="refused", detail="response a: not odd")
    assert failed(outcomes[1]) == JudgeFailure(reason="refused", detail="response b: not odd")
    assert preferred(outcomes[2]).p_a > 0.5


def test_criteria_are_compared_one_by_one() -> None:
    """a is better by tone for sure, b by use: the weights 3 and 1 decide. Mixed up, a's tone would beat b's use too."""

    def sure(request: ChooseRequest) -> ChoiceLogProbs:
        text = text_of(request)
        high = (place(text, "response") == "A") == ("How warm?" in text)
        return gives(*[1e-9] * 9, 1.0) if high else gives(1.0, *[1e-9] * 9)

    judge = ScoredPairJudge(ScriptedModel("s", sure), TWO_CRITERIA, ALONE, fresh_ledger())
    [preference] = judge.compare([compared("A", "B")])
    assert preferred(preference).p_a == pytest.approx(0.75, abs=1e-6)
    assert preferred(preference).p_tie == pytest.approx(0.0, abs=1e-6)
    demand = judge.demand([compared("A", "B"), compared("A", "C")])
    assert demand.calls == 3 * 2
    assert demand.usage.prompt_tokens > 6 * 20


def test_where_the_worst_criterion_counts_the_worst_of_each_response_are_compared() -> None:
    """a has 10 for tone and 1 for use, b 1 and 10: their worst criteria are equal, so neither is better."""
    unweighted = [criterion.model_copy(update={"weight": 1.0}) for criterion in TWO_CRITERIA.score.criteria]
    rubric = TWO_CRITERIA.score.model_copy(update={"criteria": tuple(unweighted), "combine": "worst"})
    worst = TWO_CRITERIA.model_copy(update={"score": rubric})

    def sure(request: ChooseRequest) -> ChoiceLogProbs:
        text = text_of(request)
        high = (place(text, "response") == "A") == ("How warm?" in text) or place(text, "response") == "C"
        return gives(*[1e-9] * 9, 1.0) if high else gives(1.0, *[1e-9] * 9)

    judge = ScoredPairJudge(ScriptedModel("s", sure), worst, ALONE, fresh_ledger())
    even, better = judge.compare([compared("A", "B"), compared("C", "A")])
    assert preferred(even).p_a == pytest.approx(0.5, abs=1e-6)
    assert preferred(even).p_tie == pytest.approx(1.0, abs=1e-6)
    assert preferred(better).p_a == pytest.approx(1.0, abs=1e-6)


def test_it_can_be_calibrated_and_sit_in_an_ensemble() -> None:
    """As no position is favoured, the fit finds no position bias; people who agree with the judge keep its slope up."""
    judge = warm_judge(ScriptedModel("s", by_text))
    texts = ("warm", "cold", "plain")
    pairs = [compared(a, b, f"{a}{b}{i}") for i in range(4) for a in texts for b in texts if a != b]
    labels = [HumanLabel(p_a=float(POSITIVE[c.a.text] > POSITIVE[c.b.text])) for c in pairs]
    found = fit([(preferred(p), h) for p, h in zip(judge.compare(pairs), labels, strict=True)], "platt")
    assert found.slope > 2
    assert found.position_bias == pytest.approx(0.0, abs=1e-6)
    found.check(judge.rater)
    both = EnsembleJudge([judge, judge], [1.0, 1.0])
    assert [m.settings.shown for m in both.members] == ["alone", "alone"]
    assert preferred(both.compare(pairs[:1])[0]).p_a == preferred(judge.compare(pairs[:1])[0]).p_a


def test_what_cannot_be_asked_is_said() -> None:
    model = ScriptedModel("s", by_text)
    with pytest.raises(UsageError, match=r'"warm_tone" scores by an item of its own form.*no place for a rationale'):
        ScoredPairJudge(model, WARM, variant("scored+cot"), fresh_ledger())
    with pytest.raises(ValueError, match="ScoredPairJudge"):
        PairwiseJudge(model, WARM, ALONE, fresh_ledger())
    assert variant("scored+sc-3").scoring.samples == 3
    assert variant("scored+detailed") == ALONE
    for name, key in (("base", "preamble"), ("2-shot", "exemplars"), ("single", "order"), ("log-odds", "combine")):
        with pytest.raises(UsageError, match=f'"scored\\+{name}": {key} has no meaning with shown = "alone"'):
            variant(f"scored+{name}")


def test_judges_on_record_keep_their_settings() -> None:
    assert "shown" not in PairwiseSettings().for_rater()
    assert PairwiseSettings().for_rater() == {
        "rationale": False, "preamble": "detailed", "exemplars": 0, "principles": "all", "order": "both",
        "combine": "mean",
    }  # fmt: skip
    assert variant("scored+cot").for_rater() == {
        "rationale": True,
        "rationale_tokens": 160,
        "samples": 1,
        "shown": "alone",
    }
