"""Training a policy on preferences inside a run, without a reward model."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from preceptor.runs.session import Session
from preceptor.runs.tracking import tracked
from preceptor.store.rated_responses import RatedResponse
from preceptor.store.training_pairs import TrainingPair
from preceptor.training.dpo.kto import train_kto
from preceptor.training.dpo.settings import DpoSettings
from preceptor.training.dpo.train import train_dpo
from preceptor.training.policy import Policy

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def train_by_dpo(
    session: Session,
    policy: Policy,
    pairs: Sequence[TrainingPair],
    unpaired: Sequence[RatedResponse],
    settings: DpoSettings,
    at_checkpoint: Callable[[int], bool],
) -> int:
    """Trains a policy on pairs, and by KTO on responses by themselves, resuming where an earlier process stopped. Every
    process calls it.

    Args:
        at_checkpoint: called in the main process at every checkpoint; returns False to stop early.

    Returns: the number of finished steps.
    """
    recipe = session.recipe
    with tracked(session, "dpo") as track:

        def on_step(step: int, total: int, facts: "DataclassInstance") -> None:
            track(step, total, asdict(facts))

        context, note = session.training_context(at_checkpoint), session.progress.note
        if recipe.engine.is_trl:
            from preceptor.training.trl.preferences import train_dpo_on_trl  # loads TRL

            return train_dpo_on_trl(
                policy,
                pairs,
                settings,
                recipe.engine,
                recipe.tuning,
                context,
                rated=unpaired,
                on_step=on_step,
                on_note=note,
            )
        if settings.kind == "kto":
            return train_kto(policy, pairs, unpaired, settings, context, on_step=on_step, on_note=note)
        return train_dpo(policy, pairs, settings, context, on_step=on_step, on_note=note)
