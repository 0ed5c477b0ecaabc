import math
import random
from typing import Any

import pytest

from preceptor.core.errors import PreceptorError
from preceptor.evaluation.judges.reward_accuracy import ScoredPair, reward_accuracy

LOG_3 = math.log(3.0)  # σ(log 3) = 3/4


def pair(margin: float | None, p_chosen: float = 1.0, prompt: str = "p", **changes: Any) -> ScoredPair:
    fields: dict[str, Any] = {"source": "ai", "length_chosen": 2, "length_rejected": 1} | changes
    return ScoredPair(prompt_id=prompt, margin=margin, p_chosen=p_chosen, **fields)


def test_by_hand() -> None:
    found = reward_accuracy(
        [
            pair(LOG_3, 1.0, "p1"),  # right
            pair(LOG_3, 0.25, "p2", source="human"),  # wrong
            pair(0.0, 0.9, "p3", length_chosen=1),  # undecided: half; as long as the other
            pair(-LOG_3, 0.0, "p4", source="human", length_chosen=0),  # right
            pair(LOG_3, 0.5, "p5"),  # a tie
            pair(None, 1.0, "p6"),
            pair(math.nan, 1.0, "p7"),
        ]
    )
    assert (found.n, found.without_reward, found.ties) == (5, 2, 1)
    assert found.accuracy is not None
    assert (found.accuracy.value, found.accuracy.n) == (2.5 / 4, 4)
    low, high = found.accuracy.low, found.accuracy.high
    assert low is not None
    assert high is not None
    assert low < 2.5 / 4 < high
    assert {source: (share.value, share.n) for source, share in found.by_source.items()} == {
        "ai": (0.75, 2),
        "human": (0.5, 2),
    }
    right, wrong = -math.log(0.75), -math.log(0.25)
    by_hand = [right, 0.25 * right + 0.75 * wrong, math.log(2.0), right, 0.5 * right + 0.5 * wrong]
    assert found.log_loss == pytest.approx(sum(by_hand) / 5)
    # Confidence 0.5 once (half right), 0.75 three times (two right).
    assert [(each.confidence, each.n) for each in found.reliability] == [(0.5, 1), (pytest.approx(0.75), 3)]
    assert found.calibration_error == pytest.approx(3 / 4 * abs(0.75 - 2 / 3))
    assert found.longer_baseline is not None
    assert found.longer_baseline.value == (1 + 0 + 0.5 + 1) / 4


def test_the_summary_says_it_on_one_line() -> None:
    text = reward_accuracy([pair(1.0, 1.0, "p1"), pair(2.0, 0.0, "p2", source="human"), pair(None)]).summary()
    assert text.startswith("accuracy 0.500 [")
    assert "human labels 0.000 [" in text
    assert text.endswith("length correlation unknown; 1 pairs without a reward")
    assert "\n" not in text


def test_a_tiny_margin_is_an_opinion() -> None:
    for margin in (1e-300, 1e-17, 1e-9):
        right = reward_accuracy([pair(margin)]).accuracy
        wrong = reward_accuracy([pair(-margin)]).accuracy
        assert (right and right.value, wrong and wrong.value) == (1.0, 0.0)


def test_enormous_margins_are_finite() -> None:
    found = reward_accuracy([pair(1e4), pair(-1e4)])
    assert found.log_loss == 5e3
    assert found.calibration_error == 0.5


def test_a_model_that_goes_by_length_is_found_out_whichever_response_is_called_chosen() -> None:
    draw = random.Random(0)
    lengths = [(draw.randrange(100), draw.randrange(100)) for _ in range(200)]
    by_length = [pair((a - b) / 50, length_chosen=a, length_rejected=b) for a, b in lengths]
    assert reward_accuracy(by_length).length_correlation == pytest.approx(1.0)
    longer_chosen = [
        pair(abs(a - b) ** -0.5, length_chosen=max(a, b), length_rejected=min(a, b)) for a, b in lengths if a != b
    ]
    # In both orders the longer has the greater reward, 0.75, and among each half the longest the smallest, -0.25.
    assert reward_accuracy(longer_chosen).length_correlation == pytest.approx(0.5, abs=0.02)
    blind = [pair(draw.gauss(0, 1), length_chosen=a, length_rejected=b) for a, b in lengths]
    assert reward_accuracy(blind).length_correlation == pytest.approx(0.0, abs=0.15)
    flipped = [
        pair(-p.margin, length_chosen=p.length_rejected, length_rejected=p.length_chosen) for p in blind if p.margin
    ]
    assert reward_accuracy(flipped).length_correlation == pytest.approx(reward_accuracy(blind).length_correlation or 0)
    assert reward_accuracy([pair(m, length_chosen=1) for m in (1.0, 2.0, 3.0)]).length_correlation is None


def test_what_cannot_be_measured() -> None:
    ties = reward_accuracy([pair(1.0, 0.5), pair(0.0, 0.5)])
    assert (ties.accuracy, ties.by_source, ties.calibration_error, ties.longer_baseline) == (None, {}, None, None)
    assert ties.log_loss is not None
    with pytest.raises(PreceptorError, match="no reward to any of the 2 pairs"):
        reward_accuracy([pair(None), pair(math.inf)])
    with pytest.raises(ValueError, match="probabilities"):
        reward_accuracy([pair(1.0, 1.5)])
