"""Canonical RLAIF (Lee et al. 2023, section 2.1), and RLHF where the preferences are people's."""

from preceptor.methods.parts.fine_tuning import begin
from preceptor.methods.parts.preferences import gather_preferences
from preceptor.methods.parts.reinforcement import by_rl, whole_reward
from preceptor.methods.parts.reward_models import open_reward_model, train_reward_models
from preceptor.recipes.methods import ConstitutionalRecipe, RlaifRecipe
from preceptor.results.run import RunSummary
from preceptor.runs.ending import align
from preceptor.runs.inputs import Split
from preceptor.runs.judge import judging
from preceptor.runs.measure import RewardModelGrader
from preceptor.runs.session import Session
from preceptor.training.reward_model.reward import RewardModelReward
from preceptor.training.rl.settings import needs_values


def run_rlaif(session: Session, recipe: RlaifRecipe) -> RunSummary:
    """Preferences, a reward model that learns them, and RL that pleases it.

    Raises: PreceptorError, among them UsageError for a recipe that cannot be run.
    """
    prompts = session.split()
    base = begin(session)
    return rlaif_from(session, recipe, prompts, base)


def rlaif_from(session: Session, recipe: RlaifRecipe | ConstitutionalRecipe, prompts: Split, base: str) -> RunSummary:
    """The same from a model that is the policy, its reference and what the reward model is made of.

    Args:
        base: a model string.
    """
    pairs = gather_preferences(session, recipe, prompts, base)
    train_reward_models(session, recipe, base, pairs)
    session.progress.stage("loading the models")
    policy = session.open_policy(base, values=needs_values(recipe.rl))
    reward_model = open_reward_model(session, recipe) if session.processes.is_main else None
    with judging(session) as judge:
        feedback = reward_model and RewardModelReward(reward_model)
        rewards = feedback and whole_reward(feedback, recipe.rewards, recipe.reward_processing)
        grader = (judge and judge.grader) or (reward_model and RewardModelGrader(reward_model))
        training = by_rl(session, policy, rewards, prompts.training, recipe.rl)
        return align(session, policy, prompts, training, judge, grader)
