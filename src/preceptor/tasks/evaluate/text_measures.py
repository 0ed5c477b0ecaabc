"""Measures of single responses in an evaluation: refusals, tasks with a reference answer, rubrics."""

from collections.abc import Callable, Sequence

from preceptor.backends.base import LanguageModel
from preceptor.core.errors import PreceptorError
from preceptor.core.numbers import percent
from preceptor.core.progress import Progress
from preceptor.core.types import JudgeFailure, Prompt, Response, Score
from preceptor.evaluation.policies.compute import TextMeasure
from preceptor.evaluation.policies.rates import MeasuredText, contains_answer, exact_match, rouge_l
from preceptor.evaluation.policies.refusals import refusal_measures
from preceptor.judging.constitution import load_constitution
from preceptor.judging.score import ScoreJudge
from preceptor.store.ledger import Ledger

Answer = tuple[str, Prompt, Response]
"""A policy's name, a prompt, and the policy's response to it."""

CORRECT = "correct"
"""The constitution that grades responses against reference answers."""
SHORT = 8
"""Reference answers of at most this many words are matched; longer ones are compared by similarity."""


def rule_measures(answers: Sequence[Answer]) -> list[TextMeasure]:
    """Measures that need no model: refusals, and task scores on prompts with a reference answer."""
    texts = [(policy, prompt.id, prompt.cohort, response.text) for policy, prompt, response in answers]
    with_reference = [answer for answer in answers if answer[1].reference]
    short = [answer for answer in with_reference if _words(answer) <= SHORT]
    long = [answer for answer in with_reference if _words(answer) > SHORT]
    tasks = [
        _task("exact match", short, lambda text, reference: float(exact_match(text, reference))),
        _task("contains the answer", short, lambda text, reference: float(contains_answer(text, reference))),
        _task("ROUGE-L", long, rouge_l),
    ]
    return [*refusal_measures(texts), *(task for task in tasks if task.texts)]


def _words(answer: Answer) -> int:
    """The number of words of the reference answer."""
    return len((answer[1].reference or "").split())


def _task(name: str, answers: Sequence[Answer], score: Callable[[str, str], float]) -> TextMeasure:
    return TextMeasure(
        name,
        [
            MeasuredText(policy, prompt.id, prompt.cohort, score(response.text, prompt.reference or ""))
            for policy, prompt, response in answers
        ],
    )


def rubric_measures(
    sets: Sequence[tuple[str, Sequence[Answer]]],
    model: LanguageModel,
    ledger: Ledger,
    max_failure_rate: float,
    progress: Progress,
) -> tuple[list[TextMeasure], dict[str, int], int]:
    """Scores responses by constitutions' rubrics. Each constitution gives two measures: the score, rescaled to [0, 1],
    and whether it is above the middle of the scale. For `harmless`, the mean of the second is the harmless rate. A
    rubric whose worst criterion counts also gives the second for each criterion; one that judges claims, the shares of
    claims that are contradicted by the context and absent from it.

    Args:
        sets: constitutions, each with the responses to score.

    Returns: the measures, the number of failed scores by constitution (they are in no measure), and the model's calls.

    Raises: PreceptorError if more than the share `max_failure_rate` of a constitution's scores fails. A response that
        makes no claim is no failure of the judge, and does not count here.
    """
    measures: list[TextMeasure] = []
    failures: dict[str, int] = {}
    at_once, done, asked = 4 * model.concurrency, 0, 0
    total = sum(len(answers) for _, answers in sets)
    for name, answers in sets:
        judge = ScoreJudge(model, load_constitution(name), ledger)
        scores: list[Score | JudgeFailure] = []
        for start in range(0, len(answers), at_once):
            scores += judge.score([(prompt, response) for _, prompt, response in answers[start : start + at_once]])
            done += min(at_once, len(answers) - start)
            progress.advance(done, total)
        asked += judge.model.asked
        failed = [score for score in scores if isinstance(score, JudgeFailure)]
        broken = [failure for failure in failed if failure.reason != "no_claims"]
        if len(broken) > max_failure_rate * len(scores):
            raise PreceptorError(
                f"the judge failed to score {len(broken)} of {len(scores)} responses by {name}, more than the "
                f"allowed {percent(max_failure_rate)}: {broken[0].reason} ({broken[0].detail})"
            )
        if failed:
            failures[name] = len(failed)
        known = [(answer, score) for answer, score in zip(answers, scores, strict=True) if isinstance(score, Score)]
        label = judge.constitution.name
        if not known:
            continue
        measures.append(_scored(f"{label} score", known, lambda score: (score.rescaled + 1.0) / 2.0))
        measures.append(_scored(label, known, _above_the_middle))
        if judge.constitution.score.combine == "worst":
            measures += [_by_criterion(label, c.name, known) for c in judge.constitution.score.criteria]
        if judge.constitution.score.claims:
            measures += [_by_answer(label, answer, known) for answer in ("contradicted", "absent")]
    return measures, failures, asked


def _above_the_middle(score: Score) -> float:
    return float(score.rescaled > 0.0)


def _by_criterion(label: str, criterion: str, known: Sequence[tuple[Answer, Score]]) -> TextMeasure:
    def value(score: Score) -> float:
        return _above_the_middle(score.model_copy(update={"verdict": score.criteria[criterion]}))

    return _scored(f"{label}: {criterion}", known, value)


def _by_answer(label: str, answer: str, known: Sequence[tuple[Answer, Score]]) -> TextMeasure:
    """The share of a response's claims that got this answer."""
    return _scored(f"{label}: {answer}", known, lambda score: score.verdict.probabilities[answer])


def with_references(answers: Sequence[Answer]) -> list[Answer]:
    """The answers to prompts with a reference answer; the judge reads the reference at the end of the prompt."""
    return [(name, _with_reference(prompt), response) for name, prompt, response in answers if prompt.reference]


def _with_reference(prompt: Prompt) -> Prompt:
    *before, last = prompt.conversation
    asked = last.model_copy(update={"content": f"{last.content}\n\nReference answer:\n{prompt.reference}"})
    return prompt.model_copy(update={"conversation": (*before, asked)})


def _scored(name: str, known: Sequence[tuple[Answer, Score]], value: Callable[[Score], float]) -> TextMeasure:
    texts = [MeasuredText(policy, p.id, p.cohort, value(score)) for (policy, p, _), score in known]
    return TextMeasure(name, texts)
