"""Measuring a policy on held-out prompts: sampling, judging, and the measures that play no part in training."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from preceptor.core.errors import PreceptorError
from preceptor.core.seeds import derive_seed
from preceptor.core.types import JudgeFailure, Message, Prompt, Response
from preceptor.evaluation.checkpoints.snapshot import MeasuredReference, MeasuredResponse, Snapshot
from preceptor.evaluation.intervals import Estimate
from preceptor.evaluation.policies.rubric_items import RubricItemMet, items_met
from preceptor.judging.reward import RewardKind, reward_kind, reward_of
from preceptor.judging.rubrics.judge import RubricJudge
from preceptor.judging.score import ScoreJudge
from preceptor.judging.steps import StepJudge
from preceptor.recipes.base import Recipe
from preceptor.runs.held_out import HeldOut
from preceptor.training.policy import Policy, ResponseGroup
from preceptor.training.reward_model.encoding import NoReward
from preceptor.training.reward_model.ensemble import RewardEnsemble
from preceptor.training.reward_model.model import RewardModel
from preceptor.training.rl.sampling import Sampler

Answered = Sequence[tuple[Prompt, Response]]
"""Responses with the prompts that they answer."""


@dataclass(frozen=True)
class Grade:
    """A grader's score of a response."""

    reward: float | None
    """None if it failed."""
    choice_mass: float | None = None
    """For a judge, the total probability of its choices."""
    rubric: tuple[RubricItemMet, ...] = ()
    """For a judge by rubrics, what became of each item."""
    steps: tuple[float | None, ...] = ()
    """For a judge of an agent's turns, the score of each, from 1 to 10; None where it failed."""


class Grader(Protocol):
    """The judge or reward model that grades responses in addition to the held-out measure."""

    def __call__(self, items: Answered) -> list[Grade]:
        """A grade for each response, in order."""
        ...


class JudgeGrader:
    """Grades by a judge's score.

    Args:
        kind: how the score becomes a number; for constitutions with two choices, in a run whose reward comes from
            comparisons.
    """

    def __init__(self, judge: ScoreJudge, kind: RewardKind | None = None) -> None:
        self.judge = judge
        two = len(judge.constitution.score.values) == 2
        self.kind: RewardKind = reward_kind(kind if two else None, judge.constitution)

    def __call__(self, items: Answered) -> list[Grade]:
        """A grade for each response, in order."""
        return [
            Grade(None)
            if isinstance(score, JudgeFailure)
            else Grade(reward_of(score, self.kind), score.verdict.choice_mass)
            for score in self.judge.score(items)
        ]


class TrajectoryGrader(JudgeGrader):
    """Grades an agent's episodes, and its turns too if a judge of steps is given."""

    def __init__(self, judge: ScoreJudge, kind: RewardKind | None, steps: StepJudge | None) -> None:
        super().__init__(judge, kind)
        self._steps = steps

    def __call__(self, items: Answered) -> list[Grade]:
        """A grade for each episode, in order."""
        grades = super().__call__(items)
        if self._steps is None:
            return grades
        scores = [
            tuple(None if isinstance(score, JudgeFailure) else score.expectation for score in of_turns)
            for of_turns in self._steps.score(items)
        ]
        return [replace(grade, steps=of_turns) for grade, of_turns in zip(grades, scores, strict=True)]


class RubricGrader:
    """Grades by the rubrics of prompts: the expected score, from 0 to 1."""

    def __init__(self, judge: RubricJudge) -> None:
        self.judge = judge

    def __call__(self, items: Answered) -> list[Grade]:
        """A grade for each response, in order."""
        return [
            Grade(None)
            if isinstance(score, JudgeFailure) or prompt.rubric is None
            else Grade(
                score.expectation, score.verdict.choice_mass, items_met(prompt.rubric, [i.met for i in score.items])
            )
            for (prompt, _), score in zip(items, self.judge.score(items), strict=True)
        ]


class RewardModelGrader:
    """Grades by a reward model."""

    def __init__(self, model: RewardModel | RewardEnsemble) -> None:
        self.model = model

    def __call__(self, items: Answered) -> list[Grade]:
        """A grade for each response, in order."""
        return [Grade(None if isinstance(reward, NoReward) else reward) for reward in self.model.score(items)]


@dataclass(frozen=True)
class Meter:
    """Measures a policy. Two measurements of the same name use the same random numbers."""

    policy: Policy
    grader: Grader | None
    """None if neither a judge nor a reward model grades."""
    references: Sequence[Prompt]
    recipe: Recipe
    held_out: HeldOut | None
    """None if nothing independent measures."""
    base: Policy | None = None
    """The model that the KL is measured to, if not the policy's own reference."""
    sampler: Sampler | None = None
    """Samples an agent's episodes; None for responses of one turn."""

    def measure(
        self,
        name: str,
        prompts: Sequence[Prompt],
        samples_per_prompt: int,
        references: tuple[MeasuredReference, ...] | None = None,
    ) -> Snapshot:
        """Measures everything about the current policy.

        Args:
            references: its likelihood of the reference answers, if already measured.
        """
        responses = self._responses(name, prompts, samples_per_prompt, likelihoods=True)
        known = self.on_references() if references is None else references
        return self.graded(self._snapshot(responses, known), prompts)

    def look(self, prompts: Sequence[Prompt], rollout_kl: Estimate | None) -> Snapshot:
        """Measures only what is needed to choose a checkpoint and to stop: the held-out score of one response per
        prompt. Uses no grader and no reference answers, and computes no KL if that of the training responses is given.
        """
        likelihoods = rollout_kl is None and not self._is_reference
        responses = self._responses("checkpoint", prompts, 1, likelihoods=likelihoods)
        return self._snapshot(responses, (), rollout_kl)

    def graded(self, snapshot: Snapshot, prompts: Sequence[Prompt]) -> Snapshot:
        """The snapshot with the grader's scores of its responses.

        Args:
            prompts: must include the prompts that were answered.
        """
        if self.grader is None:
            return snapshot
        by_id = {prompt.id: prompt for prompt in prompts}
        grades = self.grader([(_asked(by_id[r.prompt_id], r.prompt), _response(r)) for r in snapshot.responses])
        opinions = [
            {
                "judge_score": grade.reward,
                "choice_mass": grade.choice_mass,
                "rubric": grade.rubric,
                "steps": grade.steps,
            }
            for grade in grades
        ]
        return snapshot.with_responses(
            [r.model_copy(update=opinion) for r, opinion in zip(snapshot.responses, opinions, strict=True)], graded=True
        )

    def on_references(self) -> tuple[MeasuredReference, ...]:
        """The policy's likelihood of each reference answer."""
        likelihoods = self.policy.answer_log_likelihoods(self.references) if self.references else []
        return tuple(
            MeasuredReference(prompt_id=p.id, cohort=p.cohort, log_likelihood=log_likelihood, tokens=tokens)
            for p, (log_likelihood, tokens) in zip(self.references, likelihoods, strict=True)
        )

    def _snapshot(
        self,
        responses: tuple[MeasuredResponse, ...],
        references: tuple[MeasuredReference, ...],
        rollout_kl: Estimate | None = None,
    ) -> Snapshot:
        """A snapshot of the current policy, without a grader's scores."""
        return Snapshot(
            step=self.policy.step,
            responses=responses,
            references=references,
            rollout_kl=rollout_kl,
            graded=False,
            measured=self.held_out is not None,
        )

    @property
    def _is_reference(self) -> bool:
        """Whether the policy is still its own reference, so that its KL to the reference is 0."""
        return self.base is None and self.policy.step == 0 and self.recipe.begin is None

    def _responses(
        self, name: str, prompts: Sequence[Prompt], samples_per_prompt: int, *, likelihoods: bool
    ) -> tuple[MeasuredResponse, ...]:
        """Responses with the held-out measure, and their KL.

        Args:
            likelihoods: whether to compute their likelihood, and from it the KL unless that is 0.

        Raises: PreceptorError when the held-out measure failed on every response.
        """
        answering = self.recipe.heldout_decoding
        seeds_P = [derive_seed(self.recipe.seed, "measure", name, prompt.id) for prompt in prompts]
        groups_P = (self.sampler or self.policy).sample(
            prompts, samples_per_prompt, answering.max_new_tokens, answering.temperature, seeds_P
        )
        responses = [(group.prompt, response) for group in groups_P for response in group.responses]
        episodes = [e for group in groups_P for e in group.episodes or [None] * len(group.responses)]
        unknown = (0.0 if self._is_reference else None, None)
        distances = self._distances(groups_P) if likelihoods else [unknown] * len(responses)
        return tuple(
            MeasuredResponse(
                prompt_id=prompt.id,
                cohort=prompt.cohort,
                prompt=prompt.text,
                text=response.text,
                tokens=response.tokens,
                finished=response.finished,
                kl=kl,
                judge_score=None,
                choice_mass=None,
                heldout_score=score,
                reference_log_likelihood=reference,
                trajectory=response.trajectory,
                episode=episode,
                thought=response.thought,
                thought_tokens=response.thought_tokens,
                unfinished_thought=response.unfinished_thought,
            )
            for (prompt, response), episode, (kl, reference), score in zip(
                responses, episodes, distances, self._scores(groups_P), strict=True
            )
        )

    def _distances(self, groups_P: Sequence[ResponseGroup]) -> list[tuple[float, float]]:
        """Log π - log π_ref and log π_ref of each response."""
        temperature, base = self.recipe.heldout_decoding.temperature, self.base or self.policy
        with base.as_reference():
            references_PG = base.sequence_log_likelihoods(groups_P, temperature)
        own_PG = references_PG if self._is_reference else self.policy.sequence_log_likelihoods(groups_P, temperature)
        return [
            (own - reference, reference)
            for own_G, references_G in zip(own_PG, references_PG, strict=True)
            for own, reference in zip(own_G, references_G, strict=True)
        ]

    def _scores(self, groups_P: Sequence[ResponseGroup]) -> list[float | None]:
        """Held-out scores; None for every response if there is no held-out measure."""
        count = sum(len(group.responses) for group in groups_P)
        if self.held_out is None:
            return [None] * count
        scores = self.held_out(groups_P)
        if count and all(score is None for score in scores):
            raise PreceptorError(f"the held-out measure, {self.held_out.name}, failed on all {count} responses")
        return scores


def _asked(prompt: Prompt, said: str) -> Prompt:
    """The prompt as the policy read it.

    Args:
        said: its last message, to which an environment may have appended a text.
    """
    if prompt.text == said:
        return prompt
    last = Message(role="user", content=said)
    return prompt.model_copy(update={"conversation": (*prompt.conversation[:-1], last)})


def _response(measured: MeasuredResponse) -> Response:
    return Response(
        prompt_id=measured.prompt_id,
        text=measured.text,
        trajectory=measured.trajectory,
        finished=measured.finished,
    )
