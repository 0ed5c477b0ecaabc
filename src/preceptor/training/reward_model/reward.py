"""A reward model as the source of a policy's rewards."""

from collections import Counter
from collections.abc import Sequence

from preceptor.training.policy import ResponseGroup
from preceptor.training.reward_model.encoding import NoReward
from preceptor.training.reward_model.ensemble import RewardEnsemble
from preceptor.training.reward_model.model import RewardModel
from preceptor.training.rl.rewards.source import NoRewardsError


class RewardModelReward:
    """Canonical RLAIF: the reward model's score is the reward (Lee et al. 2023, section 2.1.3).

    Responses are encoded from text by the reward model's own tokenizer, which may differ from the policy's.
    """

    def __init__(self, model: RewardModel | RewardEnsemble) -> None:
        self._model = model

    def __call__(self, groups_P: Sequence[ResponseGroup]) -> list[list[float | None]]:
        """The reward of each response of each group, P × G; None where there is none.

        Raises: NoRewardsError when no response has a reward, because training cannot continue.
        """
        scores = self._model.score([(group.prompt, r) for group in groups_P for r in group.responses])
        reasons = Counter(score.detail for score in scores if isinstance(score, NoReward))
        if scores and reasons.total() == len(scores):
            listed = "; ".join(f"{count} times {reason}" for reason, count in reasons.most_common(3))
            raise NoRewardsError(
                f"the reward model {self._model.identity} has no reward for any of the {len(scores)} responses of a "
                f"step: {listed}"
            )
        rewards = iter(scores)
        return [
            [None if isinstance(reward := next(rewards), NoReward) else reward for _ in group.responses]
            for group in groups_P
        ]
