"""Training a policy by RL inside a run, with any source of reward."""

from collections.abc import Callable, Sequence

from preceptor.core.types import Prompt
from preceptor.recipes.settings import RewardFunctionSettings
from preceptor.runs.session import Session
from preceptor.runs.tracking import tracked
from preceptor.training.policy import Policy
from preceptor.training.rl.algorithm import make_algorithm
from preceptor.training.rl.facts import UpdateFacts
from preceptor.training.rl.loop import train
from preceptor.training.rl.reward_settings import RewardProcessing
from preceptor.training.rl.rewards import (
    CallableReward,
    PostProcessed,
    RewardSource,
    WeightedReward,
    load_reward_function,
)
from preceptor.training.rl.settings import RLSettings
from preceptor.training.rl.turns import TurnSampler
from preceptor.training.rl.update import Updater
from preceptor.training.thinking_settings import PolicyThinking

FEEDBACK = "feedback"
"""The name of the AI feedback among several sources of reward."""


def whole_reward(
    feedback: RewardSource,
    functions: RewardFunctionSettings,
    processing: RewardProcessing,
    thinking: PolicyThinking | None = None,
) -> RewardSource:
    """The training reward: AI feedback plus the functions that the recipe names, summed and processed.

    Args:
        thinking: of a policy that thinks, whose unfinished thoughts are rewarded by the settings alone.
    """
    parts = [(feedback, functions.feedback_weight)] if functions.feedback_weight else []
    parts += [(CallableReward(load_reward_function(name), name), weight) for name, weight in functions.weighted]
    names = [FEEDBACK] * bool(functions.feedback_weight) + [name.rpartition(":")[2] for name in functions.functions]
    alone = not functions.functions and functions.feedback_weight == 1.0 and functions.aggregation == "sum"
    whole = feedback if alone else WeightedReward(parts, names, functions.aggregation)
    return PostProcessed(whole, processing, thinking)


def train_by_rl(
    session: Session,
    policy: Policy,
    rewards: RewardSource | None,
    prompts: Sequence[Prompt],
    settings: RLSettings,
    at_checkpoint: Callable[[int], bool],
    sampler: TurnSampler | None = None,
) -> int:
    """Trains a policy by RL, resuming where an earlier process stopped. Every process calls it.

    Args:
        rewards: given in the main process; None in the others.
        at_checkpoint: called in the main process at every checkpoint; returns False to stop early.
        sampler: samples the episodes of a policy that acts in an environment; None for responses of one turn.

    Returns: the number of finished steps.
    """
    recipe, context = session.recipe, session.training_context(at_checkpoint)
    with tracked(session, "rl") as track:

        def on_step(step: int, facts: UpdateFacts) -> None:
            track(step, settings.steps, facts.numbers())

        if recipe.engine.is_trl:
            from preceptor.training.trl.reinforcement import train_on_trl  # loads TRL

            return train_on_trl(
                policy,
                rewards,
                prompts,
                settings,
                recipe.engine,
                recipe.tuning,
                context,
                on_step=on_step,
                sampler=sampler,
            )
        budget = policy.format.budget(settings.max_new_tokens)
        most = settings.max_new_tokens if budget is None else budget.whole
        algorithm = make_algorithm(settings.model_copy(update={"max_new_tokens": most}))
        return train(
            policy,
            Updater(policy, algorithm, settings, session.processes),
            rewards,
            prompts,
            settings,
            context,
            on_step=on_step,
            sampler=sampler,
        )
