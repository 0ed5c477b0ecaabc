"""An agent's measured episodes before and after training."""

from preceptor.evaluation.checkpoints.snapshot import Snapshot
from preceptor.evaluation.policies.agents import AgentComparison, Episode, compare_agents


def episodes_of(snapshot: Snapshot) -> list[Episode]:
    """The episodes of a snapshot; empty where no agent acted."""
    return [
        Episode(
            prompt_id=response.prompt_id,
            cohort=response.cohort,
            success=response.episode.success,
            turns=response.episode.turns,
            tool_calls=response.episode.tool_calls,
            tool_errors=response.episode.tool_errors,
            judge=response.judge_score,
            steps=response.steps,
        )
        for response in snapshot.responses
        if response.episode is not None
    ]


def agents_before_and_after(before: Snapshot, after: Snapshot) -> AgentComparison | None:
    """The comparison of an agent's episodes; None where no agent acted."""
    return compare_agents(episodes_of(before), episodes_of(after)) if before.acts and after.acts else None
