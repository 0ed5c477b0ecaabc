"""Best of n: the policy learns the sampled response with the highest reward (Nakano et al. 2021).

Fine-tuning on these responses is one round of expert iteration, known as RAFT (Dong et al. 2023).
"""

import math
from collections import Counter
from collections.abc import Sequence

from preceptor.store.demonstrations import Demonstration
from preceptor.training.policy import ResponseGroup

_REASONS = {
    "none": "no response has a reward",
    "one": "only one response has a reward, so nothing was compared",
    "equal": "all rewards are equal, so there is nothing to choose",
    "empty": "the best response is empty",
}


def choose_best(
    groups_P: Sequence[ResponseGroup], rewards_PG: Sequence[Sequence[float | None]]
) -> tuple[list[Demonstration | None], list[str]]:
    """The best response to each of P prompts; the first of equally good ones.

    Args:
        groups_P: P prompts with G responses each.
        rewards_PG: a reward for each. A response whose reward is None or not finite is never chosen.

    Returns: a demonstration or None for each prompt; and messages that say how many prompts were left out and why. An
        answer cut by a length limit is marked as unfinished, so that its end is not learned.
    Raises: ValueError when the numbers of rewards and responses differ.
    """
    if [len(row) for row in rewards_PG] != [len(group.responses) for group in groups_P]:
        raise ValueError(
            f"rewards for {[len(row) for row in rewards_PG]} responses, "
            f"groups of {[len(group.responses) for group in groups_P]}"
        )
    outcomes = [_best(group, row) for group, row in zip(groups_P, rewards_PG, strict=True)]
    counts = Counter(outcome for outcome in outcomes if isinstance(outcome, str))
    notes = [
        f"{counts[key]} of {len(groups_P)} prompts left out: {why}" for key, why in _REASONS.items() if counts[key]
    ]
    return [None if isinstance(outcome, str) else outcome for outcome in outcomes], notes


def _best(group: ResponseGroup, rewards_G: Sequence[float | None]) -> Demonstration | str:
    """The demonstration, or the reason why there is none."""
    known = {i: reward for i, reward in enumerate(rewards_G) if reward is not None and math.isfinite(reward)}
    if len(known) < 2:
        return "one" if known else "none"
    if len(set(known.values())) == 1:
        return "equal"
    best = group.responses[max(known, key=lambda i: (known[i], -i))]
    if not best.acts:
        return "empty"
    return Demonstration(
        group.prompt, best.text, finished=best.finished, trajectory=best.trajectory, thought=best.thought
    )
