"""Settings that do not suit their algorithm, and would be without effect or without meaning."""

from typing import Any

import pytest

from preceptor.core.errors import UsageError
from preceptor.training.rl.settings import PpoSettings, RLSettings, check_algorithm, check_turn_scores
from rl_small import VARIANTS


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"algorithm": "grpo", "group_size": 1}, "grpo compares siblings"),
        ({"algorithm": "online_dpo", "group_size": 4}, "learns from pairs"),
        ({"algorithm": "online_dpo", "group_size": 2, "kl_in": "loss"}, "takes neither"),
        ({"minibatches": 9}, "needs a prompt"),
        ({"algorithm": "ppo", "baseline": "value"}, "is for reinforce"),
        ({"length_unbiased": True}, "rloo ignores them"),
        ({"algorithm": "reinforce", "scale_advantages": False}, "reinforce ignores them"),
        ({"algorithm": "reinforce", "ppo": PpoSettings(gae_lambda=1.0)}, "with these settings, reinforce learns none"),
        ({"kl_coefficient": 0, "kl_target": 6.0}, "a value to begin with"),
        ({"algorithm": "ppo", "loss": "cispo"}, "ppo has a loss of its own"),
        ({"algorithm": "reinforce", "truncated_importance": 2.0}, "rl.truncated_importance.*reinforce"),
        ({"algorithm": "online_dpo", "group_size": 2, "entropy_coefficient": 0.1}, "learns from pairs"),
        ({"algorithm": "grpo", "length_unbiased": True, "loss": "dapo"}, "leave one out"),
        ({"algorithm": "grpo", "loss": "gspo"}, "several updates"),
        ({"clip_range_high": 0.28}, "one update"),
        ({"algorithm": "online_dpo", "group_size": 2, "clip_range_high": 0.28, "minibatches": 2}, "clips nothing"),
        ({"loss": "cispo", "clip_range": 0.1, "clip_range_high": 4.0, "minibatches": 2}, "not both"),
    ],
)
def test_what_does_not_fit_is_said(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        check_algorithm(RLSettings(**settings))


@pytest.mark.parametrize(
    "settings",
    [
        {"loss": "gspo"},
        {"algorithm": "grpo", "loss": "dapo", "clip_range_high": 0.28, "minibatches": 2},
        {"loss": "cispo", "clip_range_high": 4.0, "epochs_per_batch": 2},
        {"algorithm": "ppo", "entropy_coefficient": 0.01, "clip_range_high": 0.28, "minibatches": 2},
    ],
)
def test_losses_that_fit_are_taken(settings: dict[str, Any]) -> None:
    check_algorithm(RLSettings(**settings))


def test_without_them_settings_are_written_as_before() -> None:
    new = {"loss", "clip_range_high", "entropy_coefficient", "truncated_importance"}
    assert not new & set(RLSettings().model_dump())
    given = RLSettings(loss="dapo", clip_range_high=0.28, entropy_coefficient=0.01, truncated_importance=2.0)
    assert new <= set(given.model_dump())
    assert RLSettings(**given.model_dump()) == given


def test_a_ratio_of_whole_responses_credits_no_turns() -> None:
    with pytest.raises(UsageError, match="single turns"):
        check_turn_scores(RLSettings(loss="gspo"))
    check_turn_scores(RLSettings(loss="cispo"))


@pytest.mark.parametrize("variant", VARIANTS)
def test_what_fits_is_taken(variant: str) -> None:
    check_algorithm(RLSettings(**VARIANTS[variant]))


def test_a_learned_baseline_has_the_settings_of_a_value_head() -> None:
    check_algorithm(RLSettings(algorithm="reinforce", baseline="value", ppo=PpoSettings(gae_lambda=1.0)))
