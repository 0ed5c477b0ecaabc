"""Measuring a policy on held-out prompts: sampling, judging and the measures that train nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from preceptor.core.errors import PreceptorError
from preceptor.core.seeds import derive_seed
from preceptor.core.types import JudgeFailure, Prompt, Response
from preceptor.evaluation.snapshot import MeasuredReference, MeasuredResponse, Snapshot
from preceptor.judging.score import ScoreJudge
from preceptor.recipes.held_out import HeldOut
from preceptor.recipes.methods import Recipe
from preceptor.training.policy import Policy
from preceptor.training.reward_model.encoding import NoReward
from preceptor.training.reward_model.ensemble import RewardEnsemble
from preceptor.training.reward_model.model import RewardModel
from preceptor.training.rl.rewards import reward_kind, reward_of
from preceptor.training.rl.settings import RewardKind


@dataclass(frozen=True)
class Grade:
    """What a grader thinks of a response."""

    reward: float | None
    """None where it failed."""
    choice_mass: float | None = None
    """Of a judge: the probability it gave to its choices together."""


class Grader(Protocol):
    """The judge or the reward model whose opinion is measured too."""

    def __call__(self, items: Sequence[tuple[Prompt, Response]]) -> list[Grade]:
        """A grade for each response, in order."""
        ...


class JudgeGrader:
    """Grades by a judge's score.

    Args:
        kind: how it becomes a number; of use for two choices only, where the other kind is named for comparisons.
    """

    def __init__(self, judge: ScoreJudge, kind: RewardKind | None = None) -> None:
        self.judge = judge
        two = len(judge.constitution.score.values) == 2
        self.kind: RewardKind = reward_kind(kind if two else None, judge.constitution)

    def __call__(self, items: Sequence[tuple[Prompt, Response]]) -> list[Grade]:
        """A grade for each response, in order."""
        return [
            Grade(None)
            if isinstance(score, JudgeFailure)
            else Grade(reward_of(score, self.kind), score.verdict.choice_mass)
            for score in self.judge.score(items)
        ]


class RewardModelGrader:
    """Grades by a reward model."""

    def __init__(self, model: RewardModel | RewardEnsemble) -> None:
        self.model = model

    def __call__(self, items: Sequence[tuple[Prompt, Response]]) -> list[Grade]:
        """A grade for each response, in order."""
        return [Grade(None if isinstance(reward, NoReward) else reward) for reward in self.model.score(items)]


@dataclass(frozen=True)
class Meter:
    """What a policy is measured with. Two measurements of one name draw the same random numbers."""

    policy: Policy
    grader: Grader | None
    """None where neither judge nor reward model is measured."""
    prompts: Sequence[Prompt]
    references: Sequence[Prompt]
    recipe: Recipe
    held_out: HeldOut
    base: Policy | None = None
    """What the KL is to, where it is not the policy's own reference."""

    def measure(self, name: str, samples_per_prompt: int) -> Snapshot:
        """Measures the policy as it is now."""
        answering = self.recipe.answering
        seeds_P = [derive_seed(self.recipe.seed, "measure", name, prompt.id) for prompt in self.prompts]
        groups_P = self.policy.sample(
            self.prompts, samples_per_prompt, answering.max_new_tokens, answering.temperature, seeds_P
        )
        kl_PG = self.policy.sequence_kl(groups_P, answering.temperature, self.base)
        responses = [(group.prompt, response) for group in groups_P for response in group.responses]
        grades = self.grader(responses) if self.grader else [Grade(None)] * len(responses)
        scores = self.held_out(responses)
        if responses and all(score is None for score in scores):
            raise PreceptorError(
                f"the held-out measure, {self.held_out.name}, failed on all {len(responses)} responses"
            )
        measured = [
            MeasuredResponse(
                prompt_id=prompt.id,
                cohort=prompt.cohort,
                prompt=prompt.text,
                text=response.text,
                tokens=response.tokens,
                finished=response.finished,
                kl=kl,
                judge_score=grade.reward,
                choice_mass=grade.choice_mass,
                heldout_score=score,
            )
            for (prompt, response), kl, grade, score in zip(
                responses,
                [kl for kl_G in kl_PG for kl in kl_G],
                grades,
                scores,
                strict=True,
            )
        ]
        likelihoods = self.policy.answer_log_likelihoods(self.references) if self.references else []
        references = [
            MeasuredReference(prompt_id=p.id, cohort=p.cohort, log_likelihood=log_likelihood, tokens=tokens)
            for p, (log_likelihood, tokens) in zip(self.references, likelihoods, strict=True)
        ]
        return Snapshot(step=self.policy.step, responses=tuple(measured), references=tuple(references))
