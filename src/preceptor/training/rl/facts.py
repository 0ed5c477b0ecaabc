"""The facts of an update: a row of `metrics.jsonl`."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import fmean, pstdev

from preceptor.core.types import Rollout
from preceptor.training.rl.rewards.source import all_equal, known_of


@dataclass(frozen=True)
class SourceFacts:
    """What one of several sources of reward gave the responses of a step."""

    reward: float | None
    """Mean over the responses that it gave one; None when it gave none."""
    reward_std: float | None
    abstained: int
    """Responses without a reward from this source."""
    equal_groups: int
    """Prompts whose responses all got the same from it, so that it tells none of them apart."""

    @classmethod
    def of(cls, rewards_PG: Sequence[Sequence[float | None]]) -> "SourceFacts":
        """The facts of a source's rewards."""
        there = [reward for row in rewards_PG for reward in known_of(row)]
        return cls(
            reward=fmean(there) if there else None,
            reward_std=pstdev(there) if there else None,
            abstained=sum(map(len, rewards_PG)) - len(there),
            equal_groups=sum(map(all_equal, rewards_PG)),
        )


def thought_facts(responses: Sequence[Rollout]) -> dict[str, float]:
    """The facts of thoughts; none if no response has one."""
    if all(response.thought is None for response in responses):
        return {}
    return {
        "unfinished": float(sum(response.unfinished_thought for response in responses)),
        "tokens": fmean(response.thought_tokens for response in responses),
        "answer_tokens": fmean(response.answer_tokens for response in responses),
    }


@dataclass(frozen=True)
class UpdateFacts:
    """The facts of one update. They are deterministic, so they contain no times."""

    reward: float | None
    """Mean reward over the responses that have one, before the KL penalty; None when none has."""
    reward_std: float | None
    kl: float
    """Mean over responses of Σ (log π - log π_ref) over tokens, in nats, at the sampling temperature."""
    kl_coefficient: float
    """β of this step."""
    tokens: float
    """Mean number of tokens of a response."""
    finished: float
    """Share of responses that ended before the length limit."""
    abstained: int
    """Responses without a reward."""
    flat_groups: int
    """Prompts without a learning signal: their rewards are all equal, or too few."""
    loss: float
    """Mean loss over the step's updates."""
    grad_norm: float
    """Gradient norm before clipping; the largest of the step's updates."""
    learning_rate: float
    equal_groups: int = 0
    """Prompts whose responses have two rewards or more, all equal, before the KL penalty. They tell no response apart.
    """
    short_groups: int = 0
    """Prompts with fewer than two rewards although they have two responses or more: RLOO, GRPO and online DPO skip
    them."""
    resampled_groups: int = 0
    """Groups that were sampled and judged, and replaced because they had no variance (`rl.dynamic_sampling`)."""
    discarded_tokens: int = 0
    """Tokens of the responses of these groups."""
    sources: Mapping[str, SourceFacts] = field(default_factory=dict[str, SourceFacts])
    """Of each source of reward, where there are several."""
    episodes: Mapping[str, float] = field(default_factory=dict[str, float])
    """What an agent's episodes were like; see `episode_means`."""
    thoughts: Mapping[str, float] = field(default_factory=dict[str, float])
    """Of a policy that thinks: how many thoughts are `unfinished`, and means over responses of their `tokens` and of
    `answer_tokens`; an answer that there is not has 0."""
    objective: Mapping[str, float] = field(default_factory=dict[str, float])
    """With `rl.entropy_coefficient`, the mean `entropy` per token, in nats. With `rl.truncated_importance`, the mean
    `sampler_gap` per token, |log π - log μ| between learner and sampler, and the share of tokens whose ratio is above
    the bound, `truncated`."""

    def numbers(self) -> dict[str, float | None]:
        """The facts by name, those of sources as `sources/NAME/FACT`, those of episodes as `episodes/FACT`, those
        of thoughts as `thoughts/FACT`, those of the objective as `objective/FACT`.
        """
        facts = asdict(self)
        sources: dict[str, dict[str, float | None]] = facts.pop("sources")
        episodes: dict[str, float] = facts.pop("episodes")
        thoughts: dict[str, float] = facts.pop("thoughts")
        objective: dict[str, float] = facts.pop("objective")
        of_sources = {f"sources/{name}/{fact}": n for name, of in sources.items() for fact, n in of.items()}
        of_episodes = {f"episodes/{fact}": n for fact, n in episodes.items()}
        of_objective = {f"objective/{fact}": n for fact, n in objective.items()}
        return facts | of_sources | of_episodes | {f"thoughts/{fact}": n for fact, n in thoughts.items()} | of_objective
