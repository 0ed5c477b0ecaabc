"""The RL loop: sample, reward, update."""

import time
from collections.abc import Callable, Sequence

from preceptor.core.errors import UsageError
from preceptor.core.hashing import unit_hash
from preceptor.core.types import Prompt
from preceptor.training.policy import Policy
from preceptor.training.rl.collecting import Collector
from preceptor.training.rl.facts import UpdateFacts
from preceptor.training.rl.rewards import RewardSource
from preceptor.training.rl.sampling import Sampler
from preceptor.training.rl.settings import RLSettings
from preceptor.training.rl.update import Updater
from preceptor.training.steps import TrainingContext, take_steps


def train(
    policy: Policy,
    updater: Updater,
    rewards: RewardSource | None,
    prompts: Sequence[Prompt],
    settings: RLSettings,
    context: TrainingContext,
    *,
    on_step: Callable[[int, UpdateFacts], None],
    sampler: Sampler | None = None,
) -> int:
    """Trains the policy, continuing from the state on disk, as `take_steps` does.

    Args:
        rewards: called only by the main process, for the whole step; other processes may pass None.
        sampler: samples the policy's responses in several turns; None for responses of one turn.

    Returns: the number of finished steps.
    Raises: UsageError when there are fewer prompts than a step takes.
    """
    if len(prompts) < settings.prompts_per_step:
        raise UsageError(
            f"{len(prompts)} training prompts, rl.prompts_per_step asks for {settings.prompts_per_step}; "
            "give more prompts or lower it"
        )
    seed, processes = context.seed, context.processes
    processes.on_main(context.checkpoints.files.prepare)
    collector = Collector(sampler or policy, rewards, settings, processes, seed)

    def take(step: int) -> tuple[UpdateFacts, dict[str, float]]:
        """Samples, rewards and learns. Returns the facts, and the seconds that each part took."""
        collected = collector.collect(step, prompts_of_step(prompts, step, settings.prompts_per_step, seed), prompts)
        began = time.perf_counter()
        facts = updater.update(processes.part(collected.groups_P), collected.rewards_PG, collected.turns)
        return collected.with_facts(facts), collected.seconds | {"update": time.perf_counter() - began}

    return take_steps(policy, updater, settings.steps, take, context, on_step=on_step)


def prompts_of_step(prompts: Sequence[Prompt], step: int, count: int, seed: int) -> list[Prompt]:
    """The prompts of a step. Every epoch goes through all prompts in a new order.

    A step that crosses the end of an epoch takes its last prompts from the next epoch. Prompts that belong together
    follow each other.
    """
    places = [divmod(place, len(prompts)) for place in range((step - 1) * count, step * count)]
    orders = {
        epoch: sorted(prompts, key=lambda p, epoch=epoch: place_in_epoch(p, epoch, seed))
        for epoch in {epoch for epoch, _ in places}
    }
    return [orders[epoch][index] for epoch, index in places]


def place_in_epoch(prompt: Prompt, epoch: int, seed: int) -> float:
    """What the prompts of an epoch are sorted by; the same for prompts that belong together."""
    return unit_hash(seed, "epoch", epoch, prompt.together or prompt.id)
