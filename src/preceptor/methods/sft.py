"""Supervised fine-tuning on demonstrations, the baseline for the other methods."""

from preceptor.methods.base import Method
from preceptor.methods.parts.fine_tuning import end_fine_tuned, fine_tune, measure_before
from preceptor.recipes.sft import SftRecipe
from preceptor.results.run import RunSummary
from preceptor.runs.judge import judging
from preceptor.runs.session import Session


class Sft(Method[SftRecipe]):
    """The policy learns demonstrations."""

    schema = SftRecipe

    def run(self, session: Session, recipe: SftRecipe) -> RunSummary:
        """Measures the policy, fine-tunes it on demonstrations, and measures it again."""
        prompts = session.split()
        with judging(session):
            before = measure_before(session, session.open_policy(recipe.policy), prompts, None)
            fine_tune(session, "sft", recipe.policy, session.inputs.demonstrations, recipe.sft.learning)
            return end_fine_tuned(session, "sft", recipe.policy, before, prompts, None, None)
