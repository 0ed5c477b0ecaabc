"""Direct RLAIF, from prompts to an aligned model and its report (Lee et al. 2023, section 2.2)."""

from preceptor.methods.parts.fine_tuning import begin
from preceptor.methods.parts.reinforcement import by_rl, judge_reward, whole_reward
from preceptor.recipes.methods import DirectRlaifRecipe
from preceptor.results.run import RunSummary
from preceptor.runs.ending import align
from preceptor.runs.judge import judging
from preceptor.runs.session import Session
from preceptor.training.rl.settings import needs_values


def run_direct_rlaif(session: Session, recipe: DirectRlaifRecipe) -> RunSummary:
    """The judge's opinion of each response is the reward; no reward model stands between them.

    Raises: PreceptorError, among them UsageError for a recipe that cannot be run.
    """
    prompts = session.split()
    base = begin(session)
    session.progress.stage("loading the models")
    policy = session.open_policy(base, values=needs_values(recipe.rl))
    with judging(session) as judge:
        feedback = judge and judge_reward(recipe, judge, policy)
        rewards = feedback and whole_reward(feedback, recipe.rewards, recipe.reward_processing)
        training = by_rl(session, policy, rewards, prompts.training, recipe.rl)
        return align(session, policy, prompts, training, judge, judge and judge.grader)
