"""Canonical RLAIF (Lee et al. 2023, section 2.1); RLHF if the preferences are people's.

The policy responds to prompts, a judge (or people) compare the responses, a reward model learns these preferences, and
RL makes responses with a high reward more likely.
"""

from preceptor.methods.base import Method
from preceptor.methods.parts.fine_tuning import fine_tuned_first
from preceptor.methods.parts.preferences import gather_preferences
from preceptor.methods.parts.reinforcement import train_by_rl, whole_reward
from preceptor.methods.parts.reward_models import open_reward_model, train_reward_models
from preceptor.recipes.rlaif import RlaifRecipe
from preceptor.results.run import RunSummary
from preceptor.runs.ending import Alignment
from preceptor.runs.inputs import Split
from preceptor.runs.judge import judging
from preceptor.runs.measure import RewardModelGrader
from preceptor.runs.session import Session
from preceptor.training.reward_model.reward import RewardModelReward


class Rlaif(Method[RlaifRecipe]):
    """Preferences train a reward model, whose reward trains the policy."""

    schema = RlaifRecipe

    def run(self, session: Session, recipe: RlaifRecipe) -> RunSummary:
        """Gathers preferences, trains a reward model on them, and trains the policy by RL on its reward."""
        prompts = session.split()
        base = fine_tuned_first(session)
        return rlaif_from(session, recipe, prompts, base)


def rlaif_from(session: Session, recipe: RlaifRecipe, prompts: Split, base: str) -> RunSummary:
    """Runs RLAIF from a model that becomes the policy, its reference and the reward model.

    Args:
        base: a model string.
    """
    pairs = gather_preferences(session, recipe.judge, recipe.preferences, prompts, base)
    train_reward_models(session, recipe.reward_model, base, pairs)
    session.progress.stage("loading the models")
    policy = session.open_policy(base, recipe.rl)
    reward_model = open_reward_model(session, recipe.reward_model) if session.processes.is_main else None
    with judging(session) as judge:
        feedback = reward_model and RewardModelReward(reward_model)
        rewards = feedback and whole_reward(feedback, recipe.rewards, recipe.reward_processing, recipe.thinking)
        grader = (judge and judge.grader) or (reward_model and RewardModelGrader(reward_model))
        alignment = Alignment(session, policy, prompts, judge, grader)
        alignment.begin(recipe.rl.steps, recipe.rl.tokens_per_step)
        steps = train_by_rl(session, policy, rewards, prompts.training, recipe.rl, alignment.look)
        return alignment.end(steps)
