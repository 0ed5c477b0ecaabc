"""Measuring a policy on held-out prompts: sampling, judging and the measures that train nothing."""

from collections.abc import Sequence
from dataclasses import dataclass

from preceptor.core.seeds import derive_seed
from preceptor.core.types import JudgeFailure, Prompt
from preceptor.evaluation.snapshot import MeasuredReference, MeasuredResponse, Snapshot
from preceptor.evaluation.text import vader
from preceptor.judging.score import ScoreJudge
from preceptor.recipes.settings import DirectRlaifRecipe
from preceptor.training.policy import Policy
from preceptor.training.rl.rewards import reward_of


@dataclass(frozen=True)
class Meter:
    """What a policy is measured with. Two measurements of one name draw the same random numbers."""

    policy: Policy
    judge: ScoreJudge
    prompts: Sequence[Prompt]
    references: Sequence[Prompt]
    recipe: DirectRlaifRecipe

    def measure(self, name: str, samples_per_prompt: int) -> Snapshot:
        """Measures the policy as it is now."""
        rl = self.recipe.rl
        seed = derive_seed(self.recipe.seed, "measure", name)
        groups_P = self.policy.sample(self.prompts, samples_per_prompt, rl.max_new_tokens, rl.temperature, seed)
        kl_PG = self.policy.sequence_kl(groups_P, rl.temperature)
        scores = iter(self.judge.score([(group.prompt, r) for group in groups_P for r in group.responses]))
        measured: list[MeasuredResponse] = []
        for group, kl_G in zip(groups_P, kl_PG, strict=True):
            for response, kl in zip(group.responses, kl_G, strict=True):
                score = next(scores)
                measured.append(
                    MeasuredResponse(
                        prompt_id=group.prompt.id,
                        cohort=group.prompt.cohort,
                        prompt=group.prompt.text,
                        text=response.text,
                        tokens=response.tokens,
                        finished=response.finished,
                        kl=kl,
                        judge_score=reward_of(score, self.recipe.judge.reward),
                        choice_mass=None if isinstance(score, JudgeFailure) else score.verdict.choice_mass,
                        heldout_score=vader(response.text),
                    )
                )
        likelihoods = self.policy.answer_log_likelihoods(self.references)
        references = [
            MeasuredReference(prompt_id=p.id, cohort=p.cohort, log_likelihood=log_likelihood, tokens=tokens)
            for p, (log_likelihood, tokens) in zip(self.references, likelihoods, strict=True)
        ]
        return Snapshot(step=self.policy.step, responses=tuple(measured), references=tuple(references))
