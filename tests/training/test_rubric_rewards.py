"""Rubrics as rewards: by hand, and with a judge that fails now and then."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from conftest import make_model
from judging.judging_examples import fresh_ledger, gives, text_of
from preceptor.backends.base import ChoiceLogProbs, ChooseRequest
from preceptor.backends.scripted import ScriptedModel
from preceptor.core.hashing import unit_hash
from preceptor.core.rubric import rubric_of
from preceptor.core.types import JudgeFailure, Message, Prompt
from preceptor.judging.rubrics.judge import RubricJudge
from preceptor.judging.settings import RubricSettings
from preceptor.training.files import RunFiles
from preceptor.training.policy import Policy, ResponseGroup
from preceptor.training.processes import Processes
from preceptor.training.rl.algorithm import make_algorithm
from preceptor.training.rl.facts import UpdateFacts
from preceptor.training.rl.loop import train
from preceptor.training.rl.rewards import NoRewardsError, RubricReward
from preceptor.training.rl.settings import RLSettings
from preceptor.training.rl.update import Updater
from preceptor.training.steps import Checkpointing, TrainingContext
from preceptor.training.tuning import TuningSettings
from training.test_rewards import group

FAILURE = JudgeFailure(reason="backend_error", detail="gone")
RUBRIC = rubric_of(
    [
        {"criterion": "Is kind.", "points": 3},
        {"criterion": "Is short.", "points": 1, "check": {"verifier": "words", "most": 2}},
        {"criterion": "Scolds.", "points": -2},
    ]
)


def kindness(request: ChooseRequest) -> ChoiceLogProbs | JudgeFailure:
    """P(kind) is 0.9 for texts with "dear" and 0.5 for others; P(scolds) is 0.25; fails on "broken"."""
    text = text_of(request)
    if "broken" in text:
        return FAILURE
    if "Scolds." in text:
        return gives(0.2, 0.6, 0.2)
    return gives(0.81, 0.09, 0.1) if "dear" in text else gives(0.4, 0.4, 0.2)


def reward(settings: RubricSettings | None = None) -> RubricReward:
    return RubricReward(RubricJudge(ScriptedModel("s", kindness), fresh_ledger(), settings))


def test_the_reward_is_the_expected_share_of_the_points() -> None:
    """Of 4 points, "dear friend" reaches 4, 1, 2 and -1 (which counts as 0) with the probabilities 0.675, 0.075, 0.225
    and 0.025; the longer text 3, 0, 1 and -2 with 0.375, 0.375, 0.125 and 0.125.
    """
    [[kind, long, failed]] = reward()([group("q", "dear friend", "so many words", "broken", rubric=RUBRIC)])
    assert kind == pytest.approx((4 * 0.675 + 1 * 0.075 + 2 * 0.225) / 4)
    assert long == pytest.approx((3 * 0.375 + 1 * 0.125) / 4)
    assert failed is None


def test_a_prompt_without_a_rubric_has_no_reward() -> None:
    rewards = reward()([group("q", "dear", rubric=RUBRIC), group("r", "dear")])
    assert rewards[1] == [None]
    assert rewards[0] != [None]
    with pytest.raises(NoRewardsError, match=r"failed on all 1 responses.*no rubric"):
        reward()([group("r", "dear")])


# A judge that fails on a tenth of its calls, in training.

ITEM = rubric_of([{"criterion": "Is kind."}])
PROMPTS = [Prompt(id=f"p{i}", conversation=(Message(role="user", content="q" * i),), rubric=ITEM) for i in range(1, 13)]


def fails_on_a_tenth(request: ChooseRequest) -> ChoiceLogProbs | JudgeFailure:
    text = text_of(request)
    if unit_hash("fails", text) < 0.1:
        return FAILURE
    return gives(0.3 + 0.5 * unit_hash("kind", text), 0.1, 0.1)


def test_a_failure_is_never_a_reward_of_0_and_groups_that_lost_too_many_are_skipped_and_counted(tmp_path: Path) -> None:
    judge = RubricJudge(ScriptedModel("s", fails_on_a_tenth), fresh_ledger())
    source = RubricReward(judge)
    given: list[tuple[ResponseGroup, list[float | None]]] = []

    def watched(groups_P: Sequence[ResponseGroup]) -> list[list[float | None]]:
        rewards = source(groups_P)
        given.extend(zip(groups_P, rewards, strict=True))
        return rewards

    settings = RLSettings(algorithm="grpo", steps=6, prompts_per_step=12, group_size=2, max_new_tokens=5, kl_in="loss")
    policy, said = Policy(make_model(), TuningSettings(rank=2), seed=0), list[UpdateFacts]()
    train(
        policy, Updater(policy, make_algorithm(settings), settings, Processes()), watched, PROMPTS, settings,
        TrainingContext(Checkpointing(RunFiles(tmp_path), 6, lambda step: True), 0, Processes()),
        on_step=lambda step, facts: said.append(facts),
    )  # fmt: skip
    rewards = [reward for _, row in given for reward in row]
    scores = judge.score([(g.prompt, response) for g, _ in given for response in g.responses])
    lost = [sum(reward is None for reward in row) for _, row in given]
    assert len(rewards) == 144
    assert 5 <= sum(lost) <= 30  # about a tenth
    assert [reward is None for reward in rewards] == [isinstance(score, JudgeFailure) for score in scores]
    assert all(reward is None or reward > 0.5 for reward in rewards)
    assert sum(facts.abstained for facts in said) == sum(lost)
    assert sum(facts.short_groups for facts in said) == sum(count > 0 for count in lost) > 0
    assert all(facts.flat_groups >= facts.short_groups for facts in said)  # they have no advantage
