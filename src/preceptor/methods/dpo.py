"""Direct preference optimisation on AI or human preferences (Rafailov et al. 2023)."""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict

from preceptor.methods.parts.fine_tuning import begin
from preceptor.methods.parts.preferences import gather_preferences
from preceptor.recipes.methods import DpoRecipe
from preceptor.results.run import RunSummary
from preceptor.runs.ending import Training, align
from preceptor.runs.judge import judging
from preceptor.runs.session import Session
from preceptor.runs.tracking import tracked
from preceptor.store.training_pairs import TrainingPair, hard
from preceptor.training.dpo.encoding import encode_pairs
from preceptor.training.dpo.settings import DpoSettings
from preceptor.training.dpo.train import train_dpo
from preceptor.training.policy import Policy


def run_dpo(session: Session, recipe: DpoRecipe) -> RunSummary:
    """Preferences, and a policy that learns them without a reward model.

    Raises: PreceptorError, among them UsageError for a recipe that cannot be run.
    """
    prompts = session.split()
    base = begin(session)
    pairs = gather_preferences(session, recipe, prompts, base)
    session.progress.stage("loading the models")
    policy = session.open_policy(base)
    with judging(session) as judge:
        training = by_dpo(session, policy, pairs, recipe.dpo)
        return align(session, policy, prompts, training, judge, judge and judge.grader)


def by_dpo(session: Session, policy: Policy, pairs: Sequence[TrainingPair], settings: DpoSettings) -> Training:
    """The training of a policy on pairs."""

    def run(at_checkpoint: Callable[[int], bool]) -> int:
        with tracked(session, "dpo") as track:
            return train_dpo(
                policy,
                pairs,
                settings,
                files=session.files,
                seed=session.recipe.seed,
                processes=session.processes,
                checkpoint_every=session.recipe.evaluation.checkpoint_every,
                at_checkpoint=at_checkpoint,
                on_step=lambda step, total, facts: track(step, total, asdict(facts)),
                on_note=session.progress.note,
            )

    longest = min(settings.max_length, policy.base.context_window)
    usable, _ = encode_pairs(policy, pairs if settings.labels == "soft" else hard(pairs), longest)
    return Training(settings.epochs * math.ceil(len(usable) / settings.batch_size), run)
