"""The RL loop: sample, reward, update."""

import time
from collections.abc import Callable, Sequence
from itertools import pairwise

from preceptor.core.errors import UsageError
from preceptor.core.hashing import unit_hash
from preceptor.core.seeds import derive_seed
from preceptor.core.types import Prompt
from preceptor.training.policy import Policy
from preceptor.training.processes import Processes
from preceptor.training.rl.facts import UpdateFacts
from preceptor.training.rl.rewards import RewardSource
from preceptor.training.rl.settings import RLSettings
from preceptor.training.rl.update import Updater
from preceptor.training.steps import Checkpointing, take_steps


def train(
    policy: Policy,
    updater: Updater,
    rewards: RewardSource | None,
    prompts: Sequence[Prompt],
    settings: RLSettings,
    *,
    checkpoints: Checkpointing,
    seed: int,
    processes: Processes,
    on_step: Callable[[int, UpdateFacts], None],
) -> int:
    """Trains the policy, continuing from the state on disk, as `take_steps` does.

    Args:
        rewards: called only by the main process, for the whole step; other processes may pass None.

    Returns: the number of finished steps.
    Raises: UsageError when there are fewer prompts than a step takes.
    """
    if len(prompts) < settings.prompts_per_step:
        raise UsageError(
            f"{len(prompts)} training prompts, rl.prompts_per_step asks for {settings.prompts_per_step}; "
            "give more prompts or lower it"
        )
    processes.on_main(checkpoints.files.prepare)
    return take_steps(
        policy,
        updater,
        settings.steps,
        lambda step: _step(policy, updater, rewards, prompts, settings, processes=processes, seed=seed, step=step),
        checkpoints=checkpoints,
        processes=processes,
        on_step=on_step,
    )


def _step(
    policy: Policy,
    updater: Updater,
    rewards: RewardSource | None,
    prompts: Sequence[Prompt],
    settings: RLSettings,
    *,
    processes: Processes,
    seed: int,
    step: int,
) -> tuple[UpdateFacts, dict[str, float]]:
    """Samples, rewards and learns. Returns the facts, and the seconds that each part took."""
    clock = [time.perf_counter()]
    taken = prompts_of_step(prompts, step, settings.prompts_per_step, seed)
    seeds = [derive_seed(seed, "rollout", step, place) for place in range(len(taken))]
    groups = policy.sample(
        processes.part(taken),
        settings.group_size,
        settings.max_new_tokens,
        settings.temperature,
        processes.part(seeds),
    )
    clock.append(time.perf_counter())
    groups_P = processes.gather(groups)

    def ask() -> list[list[float | None]]:
        assert rewards is not None
        return rewards(groups_P)

    rewards_PG = processes.on_main(ask)
    clock.append(time.perf_counter())
    facts = updater.update(groups, rewards_PG)
    clock.append(time.perf_counter())
    spent = [after - before for before, after in pairwise(clock)]
    return facts, dict(zip(("sampling", "judging", "update"), spent, strict=True))


def prompts_of_step(prompts: Sequence[Prompt], step: int, count: int, seed: int) -> list[Prompt]:
    """The prompts of a step. Every epoch goes through all prompts in a new order.

    A step that crosses the end of an epoch takes its last prompts from the next epoch.
    """
    places = [divmod(place, len(prompts)) for place in range((step - 1) * count, step * count)]
    orders = {
        epoch: sorted(prompts, key=lambda p, epoch=epoch: unit_hash(seed, "epoch", epoch, p.id))
        for epoch in {epoch for epoch, _ in places}
    }
    return [orders[epoch][index] for epoch, index in places]
