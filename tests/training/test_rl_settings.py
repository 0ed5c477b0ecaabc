"""Settings that do not suit their algorithm, and would be without effect or without meaning."""

from typing import Any

import pytest

from preceptor.core.errors import UsageError
from preceptor.training.rl.settings import PpoSettings, RLSettings, check_algorithm
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
    ],
)
def test_what_does_not_fit_is_said(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        check_algorithm(RLSettings(**settings))


@pytest.mark.parametrize("variant", VARIANTS)
def test_what_fits_is_taken(variant: str) -> None:
    check_algorithm(RLSettings(**VARIANTS[variant]))


def test_a_learned_baseline_has_the_settings_of_a_value_head() -> None:
    check_algorithm(RLSettings(algorithm="reinforce", baseline="value", ppo=PpoSettings(gae_lambda=1.0)))
