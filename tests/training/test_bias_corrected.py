"""With a judge that loves length, a policy grows longer; with what people do not share taken off, it does not."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
from scipy.special import expit, softmax

from preceptor.core.types import (
    Comparison,
    HumanLabel,
    JudgeFailure,
    Message,
    Preference,
    Presentation,
    Prompt,
    Rater,
    Response,
    Rollout,
    Verdict,
)
from preceptor.evaluation.judges.bias_fitting import fit_correction
from preceptor.judging.bias_correction import BiasCorrectedJudge
from preceptor.judging.ensemble import MemberJudge, PreferenceJudge
from preceptor.judging.text_features import length
from preceptor.training.packed import TokenGroup
from preceptor.training.policy import ResponseGroup
from preceptor.training.rl.rewards import BiasCorrectedReward, PairwiseReward

QUALITY = {"ab": 0.0, "cd": 1.0}
"""How good a word is, to judge and people alike."""
LENGTHS = (1, 4, 16)
TEXTS = [word * n for word in QUALITY for n in LENGTHS]
VERDICT = Verdict(probabilities={"1": 1.0}, choice_mass=1.0)


def quality(text: str) -> float:
    return QUALITY[text[:2]]


class LovesLength:
    """Its log-odds are the difference in quality, and 0.7 for each doubling of the length."""

    rater = Rater(model="loves-length", constitution="c", constitution_hash="h")
    members: Sequence[MemberJudge] = ()

    def compare(self, comparisons: Sequence[Comparison]) -> list[Preference | JudgeFailure]:
        return [self._preference(comparison) for comparison in comparisons]

    def _preference(self, asked: Comparison) -> Preference:
        z = quality(asked.a.text) - quality(asked.b.text) + 0.7 * (length(asked.a.text) - length(asked.b.text))
        p_a = float(expit(z))
        shown = Presentation(order="ab", p_a=p_a, verdict=VERDICT)
        return Preference(comparison=asked, p_a=p_a, rater=self.rater, presentations=(shown,))


def asked(number: int) -> Prompt:
    return Prompt(id=f"q{number}", conversation=(Message(role="user", content="?"),))


def audited(judge: LovesLength, prompts: int = 300) -> list[tuple[Preference, HumanLabel]]:
    """Its preferences, and labels of people who do not care about length."""
    rng = np.random.default_rng(29)
    pairs: list[tuple[Preference, HumanLabel]] = []
    for i in range(prompts):
        a, b = (Response(prompt_id=f"q{i}", text=TEXTS[j]) for j in rng.choice(len(TEXTS), 2, replace=False))
        [preference] = judge.compare([Comparison(id=f"q{i}", prompt=asked(i), a=a, b=b)])
        assert isinstance(preference, Preference)
        label = HumanLabel(p_a=float(rng.random() < expit(quality(a.text) - quality(b.text))))
        pairs.append((preference, label))
    return pairs


def group(texts: Sequence[str]) -> ResponseGroup:
    rollouts = tuple(Rollout(prompt_id="q0", text=text, tokens=1) for text in texts)
    return ResponseGroup(asked(0), rollouts, TokenGroup((1,), tuple((0,) for _ in texts)))


def trained(judge: PreferenceJudge) -> np.ndarray:
    """The probabilities of all texts where RL ends: at the optimum of the reward less the KL to a policy for which all
    are equally likely.
    """
    [rewards] = PairwiseReward(judge, "log_odds")([group(TEXTS)])
    return softmax(np.array(rewards, dtype=float))


def doublings(p_T: np.ndarray) -> float:
    return float(p_T @ np.array([length(text) for text in TEXTS]))


def test_the_policy_grows_longer_without_the_correction_and_not_with_it() -> None:
    judge = LovesLength()
    correction = fit_correction(audited(judge))
    assert correction.preference["length"] == pytest.approx(0.7, abs=0.15)
    before = doublings(np.full(len(TEXTS), 1 / len(TEXTS)))
    biased, fixed = trained(judge), trained(BiasCorrectedJudge(judge, correction))
    assert doublings(biased) > before + 1.0
    assert abs(doublings(fixed) - before) < 0.3
    good = np.array([quality(text) for text in TEXTS])
    assert fixed @ good == pytest.approx(biased @ good, abs=0.02)  # what they learn of quality is the same
    assert fixed @ good > 0.7


def test_the_excess_is_taken_off_each_response() -> None:
    """Of log-odds of 1: 2 characters and 8, and a response without a reward."""

    def ones(groups_P: Sequence[ResponseGroup]) -> list[list[float | None]]:
        return [[1.0, 1.0, None] for _ in groups_P]

    [rewards] = BiasCorrectedReward(ones, {"length": 0.5})([group(["ab", "abababab", "cd"])])
    assert rewards[:2] == pytest.approx([1.0 - 0.5 * math.log2(3), 1.0 - 0.5 * math.log2(9)])
    assert rewards[2] is None
