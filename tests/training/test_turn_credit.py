"""Credit for single turns: by hand, in the loss of each algorithm, and through the sources of reward."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch

from conftest import prompt
from preceptor.core.errors import UsageError
from preceptor.core.types import Prompt, Rollout
from preceptor.training.packed import TokenGroup
from preceptor.training.policy import Policy, ResponseGroup
from preceptor.training.processes import Processes
from preceptor.training.rl.algorithm import make_algorithm
from preceptor.training.rl.batch import Batch, Part
from preceptor.training.rl.collecting import Collector
from preceptor.training.rl.losses import response_losses
from preceptor.training.rl.reward_settings import RewardProcessing
from preceptor.training.rl.rewards import NoRewardsError, PostProcessed, TurnScores, WeightedReward
from preceptor.training.rl.rewards.combined import Rewarded
from preceptor.training.rl.settings import RLSettings, check_turn_scores
from preceptor.training.rl.turn_credit import credited_turns
from preceptor.training.rl.update import Updater
from rl_small import policy_for, settings_of, steps_taken
from training.test_rewards import constant

TURNS = [[1, 2], [3], [1, 1]]
"""Tokens of the turns of three responses to one prompt."""
SCORES = TurnScores([[[1.0, 2.0], [None], [3.0, 6.0]]], weight=2.0)
"""Their mean is 3, their deviation √((4 + 1 + 0 + 9) / 3)."""
DEVIATION = math.sqrt(14 / 3) + 1e-4
ADDED = [2 * difference / DEVIATION for difference in (-2, -1, -1, 0, 0, 0, 0, 3)]
"""What the scores add to the advantage of each of the eight tokens."""


def all_valid() -> torch.Tensor:
    return torch.ones(1, 3, dtype=torch.bool)


def test_credit_by_hand() -> None:
    turns = credited_turns(TURNS, [SCORES], all_valid())
    assert turns.lengths_K.tolist() == [1, 2, 3, 1, 1]
    assert turns.starts_K.tolist() == [0, 1, 3, 6, 7]
    assert turns.advantages_N.tolist() == pytest.approx(ADDED)


def test_several_sources_add_up() -> None:
    other = TurnScores([[[], [5.0], [5.0, 8.0]]])  # the mean is 6, the deviation √3
    turns = credited_turns(TURNS, [SCORES, other], all_valid())
    expected = [-2 * 2 / DEVIATION, -2 / DEVIATION, -1 / 3**0.5, -1 / 3**0.5, 6 / DEVIATION + 2 / 3**0.5]
    assert turns.advantages_K.tolist() == pytest.approx(expected, abs=1e-3)


def test_a_response_without_a_reward_earns_nothing_and_is_no_measure() -> None:
    turns = credited_turns(TURNS, [SCORES], torch.tensor([[True, True, False]]))
    half = 2 * 0.5 / (0.5**0.5 + 1e-4)  # of 1 and 2
    assert turns.advantages_K.tolist() == pytest.approx([-half, half, 0.0, 0.0, 0.0])


def test_scores_for_other_turns_are_refused() -> None:
    with pytest.raises(ValueError, match="3 scores for a response of 2 turns"):
        credited_turns(TURNS, [TurnScores([[[1.0, 2.0, 3.0], [], []]])], all_valid())


@pytest.mark.parametrize(
    ("algorithm", "whole"),
    [("rloo", [-1.5, 0.0, 1.5]), ("grpo", [-1.0 / (1 + 1e-4), 0.0, 1.0 / (1 + 1e-4)]), ("reinforce", [-1.0, 0.0, 1.0])],
)
def test_an_advantage_is_the_whole_s_and_the_turn_s(algorithm: str, whole: list[float]) -> None:
    """Rewards of 1, 2 and 3, without KL."""
    lengths = torch.tensor([3, 3, 2])
    batch = Batch(
        torch.tensor([[1.0, 2.0, 3.0]]), all_valid(), lengths, torch.zeros(8), torch.zeros(8), None, 0.0,
        credited_turns(TURNS, [SCORES], all_valid()),
    )  # fmt: skip
    by_token = [advantage for advantage, length in zip(whole, lengths.tolist(), strict=True) for _ in range(length)]
    expected = [advantage + added for advantage, added in zip(by_token, ADDED, strict=True)]
    found = make_algorithm(settings_of(algorithm)).targets(batch).advantages_N
    assert found.tolist() == pytest.approx(expected, abs=1e-5)


def masked_groups(policy: Policy, settings: RLSettings) -> list[ResponseGroup]:
    """Responses of up to nine tokens, of which the fourth to the sixth were not written by the policy."""
    groups = policy.sample([prompt("a"), prompt("bb")], settings.group_size, 9, settings.temperature, [1, 2])
    assert all(len(ids) == 9 for group in groups for ids in group.tokens.responses)
    learned = (True,) * 3 + (False,) * 3 + (True,) * 3
    return [replace(g, tokens=replace(g.tokens, learned=(learned,) * settings.group_size)) for g in groups]


REWARDS: list[list[float | None]] = [[1.0, 2.0, 6.0], [0.0, 1.0, None]]
BY_TURN = TurnScores([[[1.0, 2.0], [3.0, 4.0], [5.0, 9.0]], [[0.0, 1.0], [], [7.0, 7.0]]], weight=0.7)


@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("algorithm", ["rloo", "grpo", "reinforce"])
def test_the_gradient_is_that_of_a_plain_computation(algorithm: str, parts: int) -> None:
    """-A · log π, summed over tokens with the advantage of their turn; GRPO takes the mean over a response's tokens."""
    settings = settings_of(algorithm, kl_coefficient=0.0, kl_in="reward", gradient_accumulation_steps=parts)
    policy = policy_for(settings)
    groups = masked_groups(policy, settings)
    valid_PG = torch.tensor([[reward is not None for reward in row] for row in REWARDS])
    batch = Batch(
        torch.tensor([[reward or 0.0 for reward in row] for row in REWARDS]), valid_PG, torch.full((6,), 6),
        torch.zeros(36), torch.zeros(36), None, 0.0, credited_turns([[3, 3]] * 6, [BY_TURN], valid_PG),
    )  # fmt: skip
    advantages = make_algorithm(settings).targets(batch).advantages_N
    log_probs = policy.log_probs([group.tokens for group in groups], settings.temperature)
    loss = -(advantages * log_probs).sum() / (36 if algorithm == "grpo" else 6)
    expected = torch.cat([g.flatten() for g in torch.autograd.grad(loss, policy.trainable)])
    with steps_taken() as taken:
        facts = Updater(policy, make_algorithm(settings), settings, Processes()).update(
            groups, REWARDS, {"steps": BY_TURN}
        )
    torch.testing.assert_close(taken[0].gradient, expected, atol=1e-5, rtol=1e-4)
    assert facts.tokens == 6.0


def test_each_turn_has_a_probability_ratio_of_its_own() -> None:
    """Two turns whose ratios are 2 and 1/2: together 1, by themselves clipped at 1.2 for a gain of 1."""
    half = math.log(2.0)
    part = Part(
        torch.tensor([half, -half]), None, torch.zeros(2), None, torch.zeros(2), torch.tensor([1.0, 3.0]), None,
        torch.zeros(1, 1), torch.ones(1, 1, dtype=torch.bool), torch.tensor([2]), 2.0, 0.0,
    )  # fmt: skip
    assert response_losses(part, RLSettings()).tolist() == pytest.approx([-1.0])  # the ratio of the whole is 1
    by_turn = replace(part, turn_lengths_K=torch.tensor([1, 1]))
    assert response_losses(by_turn, RLSettings()).tolist() == pytest.approx([-1.2 - 1.5])


class ByTurn:
    """Rewards, and scores of turns that say which prompt they belong to."""

    def __init__(self, rewards: dict[str, list[float | None]]) -> None:
        self._rewards = rewards

    def __call__(self, groups_P: Sequence[ResponseGroup]) -> list[list[float | None]]:
        return self.with_turns(groups_P).rewards_PG

    def with_turns(self, groups_P: Sequence[ResponseGroup]) -> Rewarded:
        rewards = [self._rewards[group.prompt.text] for group in groups_P]
        if all(reward is None for row in rewards for reward in row):
            raise NoRewardsError("nothing")
        scores = [[[float(len(g.prompt.text)), i] for i, _ in enumerate(g.responses)] for g in groups_P]
        return Rewarded(rewards, turns={"steps": TurnScores(scores, 0.5)})


def some_group(text: str, *texts: str) -> ResponseGroup:
    asked = prompt(text)
    rollouts = tuple(Rollout(prompt_id=asked.id, text=t, tokens=1) for t in texts)
    return ResponseGroup(asked, rollouts, TokenGroup((1,), tuple((2,) for _ in texts)))


def test_scores_of_turns_pass_through_sums_and_processing() -> None:
    source = WeightedReward([(constant([[1.0, 2.0, 3.0]]), 1.0), (ByTurn({"q": [0.0, 1.0, 2.0]}), 1.0)])
    asked = [some_group("q", "a", "b", "c")]
    summed = PostProcessed(source, RewardProcessing(clip=4.0)).of_groups(asked)
    assert summed.rewards_PG == [[1.0, 3.0, 4.0]]
    assert summed.turns == {"steps": TurnScores([[[1.0, 0], [1.0, 1], [1.0, 2]]], 0.5)}


def test_a_response_of_which_nothing_is_left_has_no_scores() -> None:
    source = ByTurn({"q": [0.0, 1.0]})
    stripped = PostProcessed(source, RewardProcessing(strip="spaces")).of_groups([some_group("q", "a", " ", "c")])
    assert stripped.rewards_PG == [[0.0, None, 1.0]]
    assert stripped.turns["steps"].scores_PGK == [[[1.0, 0], [], [1.0, 1]]]


class Named:
    """Samples groups without a model."""

    def sample(
        self, prompts_P: Sequence[Prompt], group_size: int, max_new_tokens: int, temperature: float, seeds_P: object
    ) -> list[ResponseGroup]:
        return [some_group(asked.text, "x", "y") for asked in prompts_P]


@pytest.mark.parametrize("judged", [True, False])
def test_replaced_groups_bring_their_own_scores(judged: bool) -> None:
    """The groups of "a" and "bb" tell nothing apart. Where no new group has a reward, none has scores."""
    prompts = [prompt(text) for text in ("a", "bb", "ccc", "dddd")]
    fresh: list[float | None] = [0.0, 1.0] if judged else [None, None]
    source = ByTurn({"a": [1.0, 1.0], "bb": [2.0, 2.0], "ccc": fresh, "dddd": fresh})
    settings = RLSettings(group_size=2, prompts_per_step=2, dynamic_sampling=1)
    collected = Collector(Named(), source, settings, Processes(), seed=0).collect(1, prompts[:2], prompts)
    lengths = [len(group.prompt.text) for group in collected.groups_P]
    assert sorted(lengths) == [3, 4]
    assert collected.turns["steps"].scores_PGK == [[[n, 0], [n, 1]] if judged else [[], []] for n in lengths]
    assert collected.turns["steps"].weight == 0.5


@pytest.mark.parametrize(
    "settings", [{"algorithm": "ppo"}, {"algorithm": "online_dpo"}, {"algorithm": "reinforce", "baseline": "value"}]
)
def test_algorithms_that_cannot_credit_turns_say_so(settings: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="turns"):
        check_turn_scores(RLSettings(**settings))
    check_turn_scores(RLSettings())
