"""Direct preference optimisation on AI or human preferences (Rafailov et al. 2023), and its relatives.

The policy responds to prompts, a judge (or people) compare the responses, and the policy learns these preferences by
the loss that the recipe names; KTO also learns responses that were rated by themselves. There is no reward model, and
training samples nothing.
"""

import math
from collections.abc import Sequence

from preceptor.methods.base import Method
from preceptor.methods.parts.fine_tuning import fine_tuned_first
from preceptor.methods.parts.preference_optimisation import train_by_dpo
from preceptor.methods.parts.preferences import gather_preferences
from preceptor.methods.parts.unpaired import gather_unpaired
from preceptor.recipes.dpo import DpoRecipe
from preceptor.results.run import RunSummary
from preceptor.runs.ending import Alignment
from preceptor.runs.judge import judging
from preceptor.runs.session import Session
from preceptor.store.rated_responses import RatedResponse
from preceptor.store.training_pairs import TrainingPair
from preceptor.training.dpo.examples import usable_rated
from preceptor.training.dpo.kto import steps_of
from preceptor.training.dpo.settings import DpoSettings
from preceptor.training.dpo.train import usable_pairs
from preceptor.training.policy import Policy


class Dpo(Method[DpoRecipe]):
    """The policy learns preferences without a reward model."""

    schema = DpoRecipe

    def run(self, session: Session, recipe: DpoRecipe) -> RunSummary:
        """Gathers preferences, trains the policy on them, and keeps its best checkpoint."""
        prompts = session.split()
        base = fine_tuned_first(session)
        pairs = gather_preferences(session, recipe.judge, recipe.preferences, prompts, base)
        unpaired = gather_unpaired(session, recipe.preferences, prompts)
        session.progress.stage("loading the models")
        policy = session.open_policy(base)
        with judging(session) as judge:
            alignment = Alignment(session, policy, prompts, judge, judge and judge.grader)
            alignment.begin(_steps(policy, pairs, unpaired, recipe.dpo))
            steps = train_by_dpo(session, policy, pairs, unpaired, recipe.dpo, alignment.look)
            return alignment.end(steps)


def _steps(
    policy: Policy, pairs: Sequence[TrainingPair], unpaired: Sequence[RatedResponse], settings: DpoSettings
) -> int:
    """The number of updates."""
    usable = usable_pairs(policy, pairs, settings, lambda _: None) if pairs else []
    if settings.kind == "kto":
        return steps_of(2 * len(usable) + len(usable_rated(policy, unpaired, settings, lambda _: None)), settings)
    return settings.epochs * math.ceil(len(usable) / settings.batch_size)
