"""Direct RLAIF, from prompts to an aligned model and its report (Lee et al. 2023, section 2.2).

The policy responds to prompts, a judge's opinion of each response is the reward, and RL makes rewarded responses more
likely. There is no reward model. Online DPO is this method with another algorithm (`rl.algorithm = "online_dpo"`) and
a judge that compares siblings.
"""

from collections.abc import Sequence
from functools import partial

from preceptor.core.seeds import derive_seed
from preceptor.core.types import Response
from preceptor.methods.base import Method
from preceptor.methods.parts.comparing import score_rewards, sibling_rewards
from preceptor.methods.parts.fine_tuning import fine_tuned_first
from preceptor.methods.parts.reinforcement import train_by_rl, whole_reward
from preceptor.recipes.direct_rlaif import DirectRlaifRecipe
from preceptor.results.run import RunSummary
from preceptor.runs.ending import Alignment
from preceptor.runs.judge import RunJudge, judging
from preceptor.runs.session import Session
from preceptor.training.policy import Policy, ResponseGroup
from preceptor.training.rl.rewards import (
    AgainstReference,
    EscalatingReward,
    RewardSource,
    RubricReward,
)


class DirectRlaif(Method[DirectRlaifRecipe]):
    """The judge's opinion of a response is its reward."""

    schema = DirectRlaifRecipe

    def run(self, session: Session, recipe: DirectRlaifRecipe) -> RunSummary:
        """Measures the policy, trains it by RL on the judge's opinion, and keeps its best checkpoint."""
        prompts = session.split()
        base = fine_tuned_first(session)
        session.progress.stage("loading the models")
        policy = session.open_policy(base, recipe.rl)
        with judging(session) as judge:  # None except in the main process, which alone judges and measures
            rewards = judge and whole_reward(
                _judge_reward(recipe, judge, policy), recipe.rewards, recipe.reward_processing, recipe.thinking
            )
            alignment = Alignment(session, policy, prompts, judge, judge and judge.grader)
            alignment.begin(recipe.rl.steps, recipe.rl.tokens_per_step)
            steps = train_by_rl(session, policy, rewards, prompts.training, recipe.rl, alignment.look)
            return alignment.end(steps)


def _judge_reward(recipe: DirectRlaifRecipe, judge: RunJudge, policy: Policy) -> RewardSource:
    """The judge's opinion as a reward, in the recipe's mode."""
    settings, kind = recipe.judge, judge.reward_kind
    if judge.by_rubric:
        return RubricReward(judge.rubric_judge)
    if settings.mode == "score":
        if settings.escalation is None:
            return score_rewards(judge)
        return EscalatingReward(
            judge.scorer, judge.second_scorer(settings.escalation), settings.escalation.per_step, kind
        )
    if settings.mode == "siblings":
        return sibling_rewards(judge, settings.design, settings.variant)
    comparer = judge.comparer(settings.variant)
    return AgainstReference(comparer, kind, partial(_reference_responses, recipe, policy))


def _reference_responses(
    recipe: DirectRlaifRecipe, policy: Policy, groups_P: Sequence[ResponseGroup]
) -> list[Response]:
    """The reference policy's response to each prompt, the same one in every step."""
    seeds_P = [derive_seed(recipe.seed, "opponent", group.prompt.id) for group in groups_P]
    prompts_P = [group.prompt for group in groups_P]
    with policy.as_reference():
        sampled = policy.sample(prompts_P, 1, recipe.rl.max_new_tokens, recipe.rl.temperature, seeds_P)
    return [group.responses[0] for group in sampled]
