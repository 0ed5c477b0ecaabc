"""Several sources of reward on different scales, and groups that tell no response from another."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from conftest import make_model, prompt
from preceptor.core.errors import PreceptorError, UsageError
from preceptor.recipes.direct_rlaif import DirectRlaifRecipe
from preceptor.store.files import read_rows
from preceptor.training.files import RunFiles
from preceptor.training.policy import Policy, ResponseGroup
from preceptor.training.processes import Processes
from preceptor.training.rl.algorithm import make_algorithm
from preceptor.training.rl.facts import SourceFacts, UpdateFacts
from preceptor.training.rl.loop import train
from preceptor.training.rl.reward_settings import RewardProcessing
from preceptor.training.rl.rewards import NoRewardsError, PostProcessed, RewardSource, WeightedReward
from preceptor.training.rl.rewards.combined import group_normalised
from preceptor.training.rl.rewards.source import all_equal
from preceptor.training.rl.settings import RLSettings, check_algorithm
from preceptor.training.rl.update import Updater
from preceptor.training.steps import Checkpointing, TrainingContext
from preceptor.training.tuning import TuningSettings
from training.test_rewards import constant, group

Rewards = list[list[float | None]]
FOUR = [group("q", "a", "b", "c", "d")]


def test_normalising_by_hand() -> None:
    """1, 2, 3 have the mean 2 and the deviation 1; 0 and 10 the mean 5 and the deviation √50."""
    assert group_normalised([1.0, 2.0, 3.0]) == pytest.approx([-1, 0, 1])
    assert group_normalised([0.0, 10.0]) == pytest.approx([-(0.5**0.5), 0.5**0.5])
    assert group_normalised([0.1 + 0.2, 0.3, 0.3]) == [0.0, 0.0, 0.0]
    assert group_normalised([7.0]) == [0.0]


def test_scales_of_1_to_1000_have_equal_influence_if_normalised_and_not_in_a_sum() -> None:
    """Two sources that order four responses in opposite ways: 0, 1, 2, 3 and 3000, 2000, 1000, 0."""
    small, large = constant([[0.0, 1.0, 2.0, 3.0]]), constant([[3000.0, 2000.0, 1000.0, 0.0]])
    [summed] = WeightedReward([(small, 1.0), (large, 1.0)])(FOUR)
    assert summed == [3000.0, 2001.0, 1002.0, 3.0]  # in the order of the large one
    [equal] = WeightedReward([(small, 1.0), (large, 1.0)], aggregation="normalize_then_sum")(FOUR)
    assert equal == pytest.approx([0.0] * 4)
    assert all_equal(equal)
    [doubled] = WeightedReward([(small, 2.0), (large, 1.0)], aggregation="normalize_then_sum")(FOUR)
    deviation = (5 / 3) ** 0.5  # of 0, 1, 2, 3
    assert doubled == pytest.approx([-1.5 / deviation, -0.5 / deviation, 0.5 / deviation, 1.5 / deviation])


def test_a_response_without_a_reward_from_one_source_counts_for_none() -> None:
    """The second source knows nothing of the last response: it is in no mean, and has no reward."""
    one, other = constant([[1.0, 3.0, 100.0]]), constant([[5.0, 5.0, None]])
    rewarded = WeightedReward([(one, 1.0), (other, 1.0)], ["judge", "words"], "normalize_then_sum").with_sources(
        [group("q", "a", "b", "c")]
    )
    assert rewarded.rewards_PG == [[pytest.approx(-(0.5**0.5)), pytest.approx(0.5**0.5), None]]
    assert rewarded.by_source == {"judge": [[1.0, 3.0, 100.0]], "words": [[5.0, 5.0, None]]}
    facts = {name: SourceFacts.of(rewards) for name, rewards in rewarded.by_source.items()}
    assert facts["words"] == SourceFacts(reward=5.0, reward_std=0.0, abstained=1, equal_groups=1)
    assert facts["judge"].equal_groups == 0


def test_a_response_without_siblings_cannot_be_normalised_and_abstains() -> None:
    lone = WeightedReward([(constant([[1.0, None], [1.0, 2.0]]), 1.0)], aggregation="normalize_then_sum")
    [alone, pair] = lone([group("q", "a", "b"), group("r", "a", "b")])
    assert alone == [None, None]
    assert None not in pair
    with pytest.raises(NoRewardsError, match="no response of a step has a reward from all 1 sources"):
        WeightedReward([(constant([[1.0, None]]), 1.0)], aggregation="normalize_then_sum")([group("q", "a", "b")])


def test_sources_of_the_same_name_are_kept_apart() -> None:
    source = WeightedReward([(constant([[1.0]]), 1.0), (constant([[2.0]]), 1.0)], ["f", "f"])
    assert source.with_sources([group("q", "a")]).by_source == {"f": [[1.0]], "f 2": [[2.0]]}


def test_stripped_responses_keep_their_places_in_every_source() -> None:
    def lengths(groups_P: Sequence[ResponseGroup]) -> Rewards:
        return [[float(len(response.text)) for response in g.responses] for g in groups_P]

    source = WeightedReward([(lengths, 1.0), (lengths, 1.0)], ["one", "two"])
    processed = PostProcessed(source, RewardProcessing(strip="periods_and_spaces"))
    rewarded = processed.of_groups([group("q", "yes.", "...", "no")])
    assert rewarded.rewards_PG == [[6.0, None, 4.0]]
    assert rewarded.by_source["two"] == [[3.0, None, 2.0]]


def test_groups_that_are_normalised_or_resampled_have_siblings() -> None:
    with pytest.raises(UsageError, match=r"rl\.group_size is 1; rl\.dynamic_sampling"):
        check_algorithm(RLSettings(algorithm="reinforce", group_size=1, dynamic_sampling=2))
    recipe = DirectRlaifRecipe.model_validate(
        {
            "method": "direct_rlaif",
            "rl": {"algorithm": "reinforce", "group_size": 1},
            "rewards": {"aggregation": "normalize_then_sum"},
        }
    )
    with pytest.raises(UsageError, match=r"rl\.group_size is 1; rewards\.aggregation"):
        recipe.check()


# In training.

PROMPTS = [prompt(text) for text in ("a", "bb", "ccc", "dddd", "eeeee", "ffffff")]
SETTINGS = RLSettings(steps=3, prompts_per_step=3, group_size=2, max_new_tokens=4, learning_rate=1e-2)


def of_the_tokens(response: Any) -> float:
    return float(len(response.text) % 5)


def only_for(names: str) -> RewardSource:
    """Rewards that differ for some prompts, by their first letter; all others get 1."""

    def rewards(groups_P: Sequence[ResponseGroup]) -> Rewards:
        return [
            [float(place) if g.prompt.conversation[0].content[0] in names else 1.0 for place in range(len(g.responses))]
            for g in groups_P
        ]

    return rewards


def run(root: Path, rewards: RewardSource, settings: RLSettings, stop_at: int | None = None) -> list[UpdateFacts]:
    policy, said = Policy(make_model(), TuningSettings(rank=4), seed=0), list[UpdateFacts]()

    def on_step(step: int, facts: UpdateFacts) -> None:
        said.append(facts)
        if step == stop_at:
            raise KeyboardInterrupt

    train(
        policy, Updater(policy, make_algorithm(settings), settings, Processes()), rewards, PROMPTS, settings,
        TrainingContext(Checkpointing(RunFiles(root), 3, lambda step: True), 0, Processes()), on_step=on_step,
    )  # fmt: skip
    return said


def test_groups_without_variance_are_counted(tmp_path: Path) -> None:
    said = run(tmp_path, only_for("ace"), SETTINGS)
    assert [facts.equal_groups for facts in said][:2] != [0, 0]
    assert sum(facts.equal_groups for facts in said[:2]) == 3  # two steps take each of six prompts once
    assert all(facts.short_groups == facts.resampled_groups == 0 for facts in said)
    assert "sources" not in read_rows(tmp_path / "metrics.jsonl")[0]


def test_groups_without_variance_are_replaced_by_other_prompts_and_their_cost_is_counted(tmp_path: Path) -> None:
    """Three of six prompts tell something: with enough attempts, every step finds all three."""
    asked: list[list[str]] = []

    def watched(groups_P: Sequence[ResponseGroup]) -> Rewards:
        asked.append([g.prompt.id for g in groups_P])
        return only_for("ace")(groups_P)

    said = run(tmp_path, watched, SETTINGS.model_copy(update={"dynamic_sampling": 3}))
    kept = run(tmp_path / "kept", only_for("ace"), SETTINGS)
    assert all(facts.equal_groups == 0 for facts in said)
    assert sum(facts.resampled_groups for facts in said) == sum(map(len, asked)) - 9 > 0
    for facts, once in zip(said, kept, strict=True):
        assert facts.resampled_groups >= once.equal_groups
        assert 2 * facts.resampled_groups <= facts.discarded_tokens <= 2 * 4 * facts.resampled_groups
    assert all(len(set(ids)) == len(ids) for ids in asked)


def test_attempts_are_bounded_and_end_where_no_prompt_is_left(tmp_path: Path) -> None:
    once = run(tmp_path / "once", only_for(""), SETTINGS.model_copy(update={"dynamic_sampling": 1}))
    assert [(facts.resampled_groups, facts.equal_groups) for facts in once] == [(3, 3)] * 3
    often = run(tmp_path / "often", only_for(""), SETTINGS.model_copy(update={"dynamic_sampling": 9}))
    assert [(facts.resampled_groups, facts.equal_groups) for facts in often] == [(3, 3)] * 3


def test_a_replacement_without_any_reward_does_not_end_the_training(tmp_path: Path) -> None:
    calls: list[int] = []

    def failing_later(groups_P: Sequence[ResponseGroup]) -> Rewards:
        calls.append(len(groups_P))
        if len(calls) % 2 == 0:
            raise NoRewardsError("nothing")
        return [[1.0] * len(g.responses) for g in groups_P]

    said = run(tmp_path, failing_later, SETTINGS.model_copy(update={"dynamic_sampling": 1}))
    assert [(facts.short_groups, facts.abstained, facts.reward) for facts in said] == [(3, 6, None)] * 3
    with pytest.raises(PreceptorError, match="nothing"):
        run(tmp_path / "first", failing_later_first, SETTINGS)


def failing_later_first(groups_P: Sequence[ResponseGroup]) -> Rewards:
    raise NoRewardsError("nothing")


def test_an_interrupted_run_that_resamples_equals_an_uninterrupted_one(tmp_path: Path) -> None:
    """With two sources, normalised and whitened over the step."""

    def lengths(groups_P: Sequence[ResponseGroup]) -> Rewards:
        return [[of_the_tokens(r) for r in g.responses] for g in groups_P]

    weighted = WeightedReward([(only_for("ace"), 1.0), (lengths, 0.5)], ["one", "lengths"], "normalize_then_sum")
    source = PostProcessed(weighted, RewardProcessing(whiten=True))
    settings = SETTINGS.model_copy(update={"dynamic_sampling": 2, "algorithm": "grpo", "scale_advantages": False})
    run(tmp_path / "whole", source, settings)
    for stop in (1, 2):
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "cut", source, settings, stop_at=stop)
    run(tmp_path / "cut", source, settings)
    rows: list[Any] = [*read_rows(tmp_path / "whole/metrics.jsonl")]
    assert (tmp_path / "whole/metrics.jsonl").read_bytes() == (tmp_path / "cut/metrics.jsonl").read_bytes()
    assert set(rows[0]["sources"]) == {"one", "lengths"}
    whitened: list[float] = [row["reward"] for row in rows] + [row["reward_std"] - 1 for row in rows]
    assert whitened == pytest.approx([0.0] * 6, abs=1e-6)
    weights = [torch.load(tmp_path / f"{name}/state/step-000003/optimizer.pt") for name in ("whole", "cut")]
    assert str(weights[0]) == str(weights[1])


def test_the_numbers_of_sources_have_names_for_trackers(tmp_path: Path) -> None:
    source = WeightedReward([(only_for("ace"), 1.0), (only_for("abc"), 1.0)], ["feedback", "mine"])
    [facts, *_] = run(tmp_path, source, SETTINGS)
    numbers = facts.numbers()
    assert numbers["sources/feedback/equal_groups"] == facts.sources["feedback"].equal_groups
    assert "sources" not in numbers
    assert numbers["equal_groups"] == facts.equal_groups
