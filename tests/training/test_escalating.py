"""Only responses whose advantage's sign is in doubt are scored again by the strong judge, within the step's budget."""

import math

import pytest

from judging.judging_examples import fresh_ledger, gives, text_of
from preceptor.backends.base import ChoiceLogProbs, ChooseRequest
from preceptor.backends.scripted import ScriptedModel
from preceptor.core.errors import PreceptorError
from preceptor.core.types import JudgeFailure, Message, Prompt, Rater, Rollout, Score, Verdict
from preceptor.judging.constitution import load_constitution
from preceptor.judging.score import ScoreJudge
from preceptor.recipes.load import load_recipe
from preceptor.training.packed import TokenGroup
from preceptor.training.policy import ResponseGroup
from preceptor.training.rl.rewards import EscalatingReward
from preceptor.training.rl.rewards.escalating import doubts

CHEAP = {"zgood": 0.9, "zbad": 0.1, "zso": 0.6, "zfair": 0.4, "zmore": 0.55, "zless": 0.45}


def group(question: str, *texts: str) -> ResponseGroup:
    asked = Prompt(id=f"id-{question}", conversation=(Message(role="user", content=question),))
    rollouts = tuple(Rollout(prompt_id=asked.id, text=text, tokens=2, finished=True) for text in texts)
    return ResponseGroup(asked, rollouts, TokenGroup((1,), tuple((0, 1) for _ in texts)))


def judge(model: ScriptedModel) -> ScoreJudge:
    return ScoreJudge(model, load_constitution("warm_tone"), fresh_ledger())


def by(probabilities: dict[str, float], name: str = "judge") -> ScriptedModel:
    """A model that gives the good choice the probability of the word that it reads, and fails without one."""

    def choose(request: ChooseRequest) -> ChoiceLogProbs | JudgeFailure:
        found = [p for word, p in probabilities.items() if word in text_of(request)]
        return gives(found[0], 1 - found[0]) if found else JudgeFailure(reason="refused", detail="no")

    return ScriptedModel(name, choose)


def score(**probabilities: float) -> Score:
    values = {"1": 1.0, "2": 2.0, "3": 3.0}
    given = {choice: probabilities.get(f"p{choice}", 0.0) for choice in values}
    verdict = Verdict(probabilities=given, choice_mass=1.0)
    return Score(verdict=verdict, values=values, rater=Rater(model="m", constitution="c", constitution_hash="h"))


def test_doubt_by_hand() -> None:
    """From -1 to 1, one score is 1 or 0 (mean 1/2, variance 1/4), the other 0 for certain (variance 0). The advantages
    are ±1/4; both have the variance (1/2)² · 1/4 = 1/16, and so the standard deviation 1/4.
    """
    assert doubts([score(p3=0.5, p2=0.5), score(p2=1.0)]) == pytest.approx([1.0, 1.0])


def test_doubt_with_failures_and_certainty() -> None:
    failure = JudgeFailure(reason="refused", detail="no")
    assert doubts([score(p3=1.0), failure, score(p1=1.0)]) == [math.inf, None, math.inf]
    assert doubts([score(p3=1.0), score(p3=1.0)]) == [0.0, 0.0]
    assert doubts([score(p3=1.0), failure]) == [None, None]


def test_only_what_is_in_doubt_is_scored_again_and_strictness_is_taken_out() -> None:
    """0.9 and 0.1 are rewards ±0.8 with the variance 0.36 each: 0.8 / √0.18 = 1.9 standard deviations. 0.6 and 0.4 are
    rewards ±0.2 with the variance 0.96: 0.2 / √0.48 = 0.29. The strong judge gives -0.4 and 0.6 there. That is higher
    by ((-0.4 - 0.2) + (0.6 + 0.2)) / 2 = 0.1 on average: -0.5 and 0.5 are left.
    """
    strong = by({"zso": 0.3, "zfair": 0.8})
    source = EscalatingReward(judge(by(CHEAP)), judge(strong), 8, "expectation")
    [sure, doubtful] = source([group("q", "zgood", "zbad"), group("r", "zso", "zfair")])
    assert sure == pytest.approx([0.8, -0.8])
    assert doubtful == pytest.approx([-0.5, 0.5])
    assert len(strong.asked) == 2


def test_the_budget_of_a_step_goes_to_the_most_doubtful() -> None:
    strong = by({"zmore": 0.2, "zless": 0.8, "zso": 0.6, "zfair": 0.4})
    source = EscalatingReward(judge(by(CHEAP)), judge(strong), 2, "expectation")
    [so, more] = source([group("q", "zso", "zfair"), group("r", "zmore", "zless")])
    assert so == pytest.approx([0.2, -0.2])
    assert more == pytest.approx([-0.6, 0.6])
    assert all("zmore" in text_of(request) or "zless" in text_of(request) for request in strong.asked)


def test_the_strong_judges_failures_leave_the_cheap_judges_rewards_and_the_cheap_ones_abstain() -> None:
    source = EscalatingReward(judge(by(CHEAP)), judge(by({})), 8, "expectation")
    [[so, fair, broken]] = source([group("q", "zso", "zfair", "broken")])
    assert [so, fair] == pytest.approx([0.2, -0.2])
    assert broken is None
    with pytest.raises(PreceptorError, match="failed on all 2 responses"):
        source([group("q", "broken", "broken too")])


def test_a_group_of_one_text_has_nothing_to_decide() -> None:
    strong = by({"zso": 0.3})
    source = EscalatingReward(judge(by(CHEAP)), judge(strong), 8, "expectation")
    assert source([group("q", "zso", "zso")]) == [[pytest.approx(0.2)] * 2]
    assert strong.asked == []


def test_a_recipe_names_the_second_judge_and_its_budget() -> None:
    settings = ["judge.escalation.model=embedded", "judge.escalation.per_step=4"]
    assert "escalation" in str(load_recipe("direct_rlaif", settings))
    with pytest.raises(PreceptorError, match="score"):
        load_recipe("direct_rlaif", [*settings, "judge.mode=siblings"])
