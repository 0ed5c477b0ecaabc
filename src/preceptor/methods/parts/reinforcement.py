"""Training a policy by RL inside a run, whatever rewards it."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial

from preceptor.core.seeds import derive_seed
from preceptor.core.types import Prompt, Response
from preceptor.recipes.methods import DirectRlaifRecipe
from preceptor.recipes.settings import RewardFunctionSettings
from preceptor.runs.ending import Training
from preceptor.runs.judge import RunJudge
from preceptor.runs.session import Session
from preceptor.runs.tracking import tracked
from preceptor.training.policy import Policy, ResponseGroup
from preceptor.training.rl.algorithm import make_algorithm
from preceptor.training.rl.loop import train
from preceptor.training.rl.reward_settings import RewardProcessing
from preceptor.training.rl.rewards import (
    AgainstReference,
    CallableReward,
    JudgeReward,
    PairwiseReward,
    PostProcessed,
    RewardSource,
    WeightedReward,
    load_reward_function,
)
from preceptor.training.rl.settings import RLSettings
from preceptor.training.rl.update import Updater


def by_rl(
    session: Session, policy: Policy, rewards: RewardSource | None, prompts: Sequence[Prompt], settings: RLSettings
) -> Training:
    """The training of a policy by RL.

    Args:
        rewards: on the main process; None on the others.
    """
    updater = Updater(policy, make_algorithm(settings), settings, session.processes)

    def run(at_checkpoint: Callable[[int], bool]) -> int:
        with tracked(session, "rl") as track:
            return train(
                policy,
                updater,
                rewards,
                prompts,
                settings,
                files=session.files,
                seed=session.recipe.seed,
                processes=session.processes,
                checkpoint_every=session.recipe.evaluation.checkpoint_every,
                at_checkpoint=at_checkpoint,
                on_step=lambda step, facts: track(step, settings.steps, asdict(facts)),
            )

    return Training(settings.steps, run, settings.prompts_per_step * settings.group_size * settings.max_new_tokens)


def whole_reward(
    feedback: RewardSource, functions: RewardFunctionSettings, processing: RewardProcessing
) -> RewardSource:
    """The reward of training: AI feedback's and that of the functions that the recipe names, summed and processed."""
    parts = [(feedback, functions.feedback_weight)] if functions.feedback_weight else []
    parts += [(CallableReward(load_reward_function(name), name), weight) for name, weight in functions.weighted]
    alone = not functions.functions and functions.feedback_weight == 1.0
    return PostProcessed(feedback if alone else WeightedReward(parts), processing)


def judge_reward(recipe: DirectRlaifRecipe, judge: RunJudge, policy: Policy) -> RewardSource:
    """The judge's opinion as a reward, in the mode of the recipe."""
    settings, kind = recipe.judge, judge.reward_kind
    if settings.mode == "score":
        return JudgeReward(judge.scorer, kind)
    if settings.mode == "siblings":
        return PairwiseReward(judge.comparer(settings.variant), kind)
    return AgainstReference(judge.comparer(settings.variant), kind, partial(_opponents, recipe, policy))


def _opponents(recipe: DirectRlaifRecipe, policy: Policy, groups_P: Sequence[ResponseGroup]) -> list[Response]:
    """A response of the reference to each prompt: of one prompt the same in every step."""
    seeds_P = [derive_seed(recipe.seed, "opponent", group.prompt.id) for group in groups_P]
    prompts_P = [group.prompt for group in groups_P]
    with policy.as_reference():
        sampled = policy.sample(prompts_P, 1, recipe.rl.max_new_tokens, recipe.rl.temperature, seeds_P)
    return [group.responses[0] for group in sampled]
