"""Whether a model has changed: planted drifts are found, and noise is not taken for one."""

import math
import random
from pathlib import Path

import pytest

from preceptor.backends.base import ChoiceLogProbs, ChooseRequest
from preceptor.backends.scripted import ScriptedModel
from preceptor.core.types import JudgeFailure, Message, Rater
from preceptor.judging.canary import Canary, ask_again, canaries_of
from preceptor.judging.constitution import load_constitution
from preceptor.judging.drift import LEAST_ASKED, check_drift, drift
from preceptor.judging.inputs import comparison
from preceptor.judging.pairwise import PairwiseJudge
from preceptor.judging.settings import variant
from preceptor.store.ledger import Ledger


def two(p: float) -> tuple[float, float]:
    return p, 1.0 - p


RECORDED = [two(0.1 + 0.05 * i) for i in range(16)]


def test_a_local_model_that_answers_within_rounding_is_the_same() -> None:
    found = drift("m", RECORDED, [two(p + 0.02) for p, _ in RECORDED], None)
    assert found.verdict == "same"
    assert found.moved == pytest.approx(0.02)
    assert (found.asked, found.failed, found.p_value) == (16, 0, None)


def test_one_answer_further_away_shows_another_local_model() -> None:
    found = drift("m", RECORDED, [*RECORDED[:-1], two(0.2)], None)
    assert found.verdict == "changed"
    assert found.furthest == pytest.approx(0.65)
    assert found.flipped == 1
    assert "changed" in found.sentence


def test_failed_questions_are_counted_and_are_no_answers() -> None:
    answers = [JudgeFailure(reason="no_answer", detail="silent"), *RECORDED[1:]]
    found = drift("m", RECORDED, answers, RECORDED)
    assert (found.failed, found.answered, found.moved) == (1, 15, 0.0)
    few = drift("m", RECORDED[:5], RECORDED[:5], RECORDED[:5])
    assert few.verdict == "cannot be known"
    assert few.answered < LEAST_ASKED
    none = drift("m", [], [], None)
    assert none.verdict == "cannot be known"
    assert none.moved is None


def test_noise_of_a_server_is_not_taken_for_a_change() -> None:
    """Three answers of one distribution: the p-value is at most 1% in about 1% of cases."""
    rng = random.Random(3)
    alarms = 0
    for _ in range(100):
        recorded, first, second = ([two(min(max(rng.gauss(p, 0.15), 0.0), 1.0)) for p, _ in RECORDED] for _ in range(3))
        alarms += drift("m", recorded, first, second).verdict == "changed"
    assert alarms <= 4  # binomial with 1%: above 4 in one of 300 series


def test_a_server_that_changed_is_found_through_its_noise() -> None:
    rng = random.Random(4)

    def asked(shift: float) -> list[tuple[float, ...]]:
        return [two(min(max(rng.gauss(p + shift, 0.05), 0.0), 1.0)) for p, _ in RECORDED]

    found = [drift("m", asked(0.0), asked(0.25), asked(0.25)) for _ in range(20)]
    assert sum(each.verdict == "changed" for each in found) >= 19
    deterministic = drift("m", RECORDED, [two(1 - p) for p, _ in RECORDED], [two(1 - p) for p, _ in RECORDED])
    assert deterministic.p_value is not None
    assert deterministic.p_value < 0.001


def leaning(p: float) -> ScriptedModel:
    return ScriptedModel("leaning", lambda _: ChoiceLogProbs((math.log(p), math.log1p(-p))))


def judged(path: Path, model: ScriptedModel, count: int = 12) -> PairwiseJudge:
    """A judge that has compared some responses; its calls are on record."""
    with Ledger(path) as ledger:
        judge = PairwiseJudge(model, load_constitution("helpful"), variant("detailed"), ledger)
        judge.compare([comparison(f"question {i}", f"one {i}", f"other {i}") for i in range(count)])
        return judge


def test_recorded_questions_are_asked_again_as_they_were(tmp_path: Path) -> None:
    model = leaning(0.8)
    judge = judged(tmp_path / "ledger.sqlite", model)
    asked = list(model.asked)
    canaries = canaries_of(tmp_path / "ledger.sqlite", judge.model.identity, 10)
    assert len(canaries) == 10
    assert canaries == canaries_of(tmp_path / "ledger.sqlite", judge.model.identity, 10)
    assert all(canary.p == pytest.approx((0.8, 0.2)) for canary in canaries)
    assert all(canary.asked() in asked for canary in canaries)
    same = check_drift(judge, canaries, exact=True)
    assert (same.verdict, same.asked, same.moved, same.cost_usd) == ("same", 10, pytest.approx(0.0), 0.0)


def test_another_model_behind_the_same_name_is_found(tmp_path: Path) -> None:
    judge = judged(tmp_path / "ledger.sqlite", leaning(0.8))
    canaries = canaries_of(tmp_path / "ledger.sqlite", judge.model.identity, 10)
    with Ledger(tmp_path / "other.sqlite") as ledger:
        other = PairwiseJudge(leaning(0.3), load_constitution("helpful"), variant("detailed"), ledger)
        exact, served = (check_drift(other, canaries, exact=exact) for exact in (True, False))
    assert exact.verdict == served.verdict == "changed"
    assert exact.moved == pytest.approx(0.5)
    assert exact.flipped == 10


def test_calls_of_other_models_and_ledgers_that_are_not_there_give_no_question(tmp_path: Path) -> None:
    judged(tmp_path / "ledger.sqlite", leaning(0.8))
    assert canaries_of(tmp_path / "ledger.sqlite", "another", 10) == []
    assert canaries_of(tmp_path / "none.sqlite", "scripted:leaning", 10) == []


def test_conversations_and_thoughts_survive_the_ledger() -> None:
    request = {
        "prompt": [{"role": "user", "content": "Which?"}],
        "choices": [" 1", " 2"],
        "thinking": {"level": 64, "seed": 3},
    }
    canary = Canary.model_validate({"request": request, "p": (0.5, 0.5)})
    asked = canary.asked()
    assert asked.thinking is not None
    assert (asked.thinking.tokens, asked.thinking.seed) == (64, 3)
    assert asked == ChooseRequest((Message(role="user", content="Which?"),), (" 1", " 2"), thinking=asked.thinking)
    model = ScriptedModel("m", lambda _: ChoiceLogProbs((-math.inf, -math.inf)), thinks=True)
    again = ask_again(model, Rater(model="scripted:m", constitution="c", constitution_hash="0" * 16), [canary])
    [silent] = again.answers
    assert isinstance(silent, JudgeFailure)
