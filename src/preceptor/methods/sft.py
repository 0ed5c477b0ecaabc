"""Supervised fine-tuning on demonstrations: the policy that the other methods are compared with."""

from preceptor.methods.parts.fine_tuning import begin, end_fine_tuned, measure_before
from preceptor.recipes.methods import SftRecipe
from preceptor.results.run import RunSummary
from preceptor.runs.judge import judging
from preceptor.runs.session import Session


def run_sft(session: Session, recipe: SftRecipe) -> RunSummary:
    """Demonstrations, and a policy that learns them.

    Raises: PreceptorError, among them UsageError for a recipe that cannot be run.
    """
    prompts = session.split()
    with judging(session):
        before = measure_before(session, session.open_policy(recipe.policy), prompts, None)
        begin(session)
        return end_fine_tuned(session, "sft", recipe.policy, before, prompts, None, None)
