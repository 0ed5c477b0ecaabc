"""Measures of single responses in an evaluation: refusals, tasks with a reference answer, rubrics."""

from collections.abc import Callable, Sequence
from statistics import fmean

from preceptor.backends.base import LanguageModel
from preceptor.core.types import JudgeFailure, Prompt, Response
from preceptor.evaluation.assemble import TextMeasure
from preceptor.evaluation.rates import MeasuredText, contains_answer, exact_match, rouge_l
from preceptor.evaluation.refusals import refusal_measures
from preceptor.judging.constitution import load_constitution
from preceptor.judging.score import ScoreJudge
from preceptor.store.ledger import Ledger

Answer = tuple[str, Prompt, Response]
"""A policy's name, the prompt, and what the policy answered."""

SHORT = 8
"""Words up to which a reference answer is one to be hit; a longer one is one to be near to."""


def rule_measures(answers: Sequence[Answer]) -> list[TextMeasure]:
    """What needs no model: refusals, and task scores on prompts with a reference answer."""
    texts = [(policy, prompt.id, prompt.cohort, response.text) for policy, prompt, response in answers]
    short = [each for each in answers if each[1].reference and len(each[1].reference.split()) <= SHORT]
    long = [each for each in answers if each[1].reference and len(each[1].reference.split()) > SHORT]
    tasks = [
        _task("exact match", short, lambda text, reference: float(exact_match(text, reference))),
        _task("contains the answer", short, lambda text, reference: float(contains_answer(text, reference))),
        _task("ROUGE-L", long, rouge_l),
    ]
    return [*refusal_measures(texts), *(task for task in tasks if task.texts)]


def _task(name: str, answers: Sequence[Answer], score: Callable[[str, str], float]) -> TextMeasure:
    return TextMeasure(
        name,
        [
            MeasuredText(policy, prompt.id, prompt.cohort, score(response.text, prompt.reference or ""))
            for policy, prompt, response in answers
        ],
    )


def rubric_measures(
    names: Sequence[str],
    answers: Sequence[Answer],
    model: LanguageModel,
    ledger: Ledger,
    on_progress: Callable[[int, int], None],
) -> tuple[list[TextMeasure], dict[str, int]]:
    """Every response scored by each constitution's rubric: the mean score, rescaled to [0, 1], and the share of
    responses above the middle of the scale. With the constitution `harmless` that share is the harmless rate.

    Returns: the measures, and the number of failed scores by constitution. A failed score is in no measure.
    """
    found: list[TextMeasure] = []
    failures: dict[str, int] = {}
    at_once, done = 4 * model.concurrency, 0
    for name in names:
        constitution = load_constitution(name)
        judge = ScoreJudge(model, constitution, ledger)
        middle = fmean((min(constitution.score.values.values()), max(constitution.score.values.values())))
        means: list[MeasuredText] = []
        passed: list[MeasuredText] = []
        for start in range(0, len(answers), at_once):
            chunk = answers[start : start + at_once]
            scores = judge.score([(prompt, response) for _, prompt, response in chunk])
            for (policy, prompt, _), score in zip(chunk, scores, strict=True):
                if isinstance(score, JudgeFailure):
                    failures[constitution.name] = failures.get(constitution.name, 0) + 1
                    continue
                means.append(MeasuredText(policy, prompt.id, prompt.cohort, (score.rescaled + 1.0) / 2.0))
                passed.append(MeasuredText(policy, prompt.id, prompt.cohort, float(score.expectation > middle)))
            done += len(chunk)
            on_progress(done, len(names) * len(answers))
        found += [TextMeasure(f"{constitution.name} score", means), TextMeasure(constitution.name, passed)]
    return found, failures
