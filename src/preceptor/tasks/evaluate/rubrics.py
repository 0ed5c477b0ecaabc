"""The rubrics of prompts in an evaluation: which items each policy's responses meet, from a judge by rubrics."""

from collections.abc import Iterable, Sequence
from statistics import fmean

from preceptor.core.progress import Progress
from preceptor.core.types import Prompt, Response
from preceptor.evaluation.policies.rubric_items import RubricAnswer, items_met
from preceptor.judging.rubrics.items import check_rubrics
from preceptor.judging.specs import JudgeSpec, single_judges
from preceptor.judging.trajectory import response_text
from preceptor.store.comparisons import ComparisonRow
from preceptor.store.preference_row import PreferenceRow, VerdictRow


def by_rubrics(spec: JudgeSpec) -> bool:
    """Whether a judge judges by the rubrics of prompts."""
    return any(single.resolved().shown == "rubric" for single in single_judges([spec]))


def check_prompts(judges: Sequence[JudgeSpec], prompts: Sequence[Prompt]) -> None:
    """Raises: UsageError naming the first prompt whose rubric a judge would lack, or that cannot be used."""
    if any(by_rubrics(spec) for spec in judges):
        check_rubrics(prompts)


def can_judge(trainer: JudgeSpec | None, prompts: Sequence[Prompt], progress: Progress) -> JudgeSpec | None:
    """The training judge; None, with a note, if it judges by rubrics and a prompt has none."""
    lacking = sum(prompt.rubric is None for prompt in prompts)
    if trainer is None or not lacking or not by_rubrics(trainer):
        return trainer
    progress.note(
        f"the training judge judges by rubrics, which {lacking} of {len(prompts)} prompts lack: it is not asked"
    )
    return None


def rubric_answers(rows: Sequence[ComparisonRow], judged: Iterable[PreferenceRow]) -> list[RubricAnswer]:
    """Each response that a judge scored by its prompt's rubric, once. Of several such judges, the mean."""
    by_id = {row.comparison.id: row.comparison for row in rows}
    answers: dict[tuple[str, str, str], RubricAnswer] = {}
    for preference in judged:
        comparison = by_id[preference.id]
        for order, response in (("ab", comparison.a), ("ba", comparison.b)):
            verdicts = [v for v in preference.verdicts if v.order == order and v.rubric_hash is not None]
            key = (response.policy, comparison.prompt.id, response_text(response))
            if verdicts and key not in answers:
                answers[key] = _answer(comparison.prompt, response, verdicts)
    return list(answers.values())


def _answer(prompt: Prompt, response: Response, verdicts: Sequence[VerdictRow]) -> RubricAnswer:
    scores = [verdict.rubric_score for verdict in verdicts if verdict.rubric_score is not None]
    of_items = [verdict.items for verdict in verdicts if verdict.items]
    met = [_mean([p for p in of_item if p is not None]) for of_item in zip(*of_items, strict=True)]
    items = () if prompt.rubric is None else items_met(prompt.rubric, met)
    return RubricAnswer(response.policy, prompt.id, prompt.cohort, items, _mean(scores))


def _mean(values: Sequence[float]) -> float | None:
    return fmean(values) if values else None
