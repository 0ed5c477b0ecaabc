"""The RL loop: sample, reward, update; a checkpoint every so often."""

import time
from collections.abc import Callable, Sequence
from itertools import pairwise

from preceptor.core.errors import UsageError
from preceptor.core.hashing import unit_hash
from preceptor.core.seeds import derive_seed
from preceptor.core.types import Prompt
from preceptor.training.policy import Policy
from preceptor.training.rl.facts import UpdateFacts
from preceptor.training.rl.rewards import RewardSource
from preceptor.training.rl.settings import RLSettings
from preceptor.training.rl.state import TrainingFiles
from preceptor.training.rl.update import Updater


def train(
    policy: Policy,
    updater: Updater,
    rewards: RewardSource,
    prompts: Sequence[Prompt],
    settings: RLSettings,
    *,
    files: TrainingFiles,
    seed: int,
    checkpoint_every: int,
    at_checkpoint: Callable[[int], bool],
    on_step: Callable[[int, UpdateFacts], None],
) -> int:
    """Trains the policy, from where the files say it was.

    Args:
        at_checkpoint: called at step 0, at every checkpoint and at the last step, after the checkpoint is on disk and
            again when a restart finds the run there; returns False to stop early.
        on_step: called after each finished step.

    Returns: the number of finished steps.
    """
    if len(prompts) < settings.prompts_per_step:
        raise UsageError(
            f"{len(prompts)} training prompts, rl.prompts_per_step asks for {settings.prompts_per_step}; "
            "give more prompts or lower it"
        )
    step = files.restore(policy, updater)
    while True:
        if step % checkpoint_every == 0 or step == settings.steps:
            files.save_checkpoint(policy)
            if not at_checkpoint(step):
                return step
        if step == settings.steps:
            return step
        step += 1
        clock = [time.perf_counter()]
        groups_P = policy.sample(
            prompts_of_step(prompts, step, settings.prompts_per_step, seed),
            settings.group_size,
            settings.max_new_tokens,
            settings.temperature,
            derive_seed(seed, "rollout", step),
        )
        clock.append(time.perf_counter())
        rewards_PG = rewards(groups_P)
        clock.append(time.perf_counter())
        facts = updater.update(groups_P, rewards_PG)
        clock.append(time.perf_counter())
        policy.step = step
        spent = [after - before for before, after in pairwise(clock)]
        files.save_step(policy, updater, facts, dict(zip(("sampling", "judging", "update"), spent, strict=True)))
        on_step(step, facts)


def prompts_of_step(prompts: Sequence[Prompt], step: int, count: int, seed: int) -> list[Prompt]:
    """The prompts of a step: every epoch goes through all of them in an order of its own.

    A step that crosses the end of an epoch takes its last prompts from the next one.
    """
    places = [divmod(place, len(prompts)) for place in range((step - 1) * count, step * count)]
    orders = {
        epoch: sorted(prompts, key=lambda p, epoch=epoch: unit_hash(seed, "epoch", epoch, p.id))
        for epoch in {epoch for epoch, _ in places}
    }
    return [orders[epoch][index] for epoch, index in places]
