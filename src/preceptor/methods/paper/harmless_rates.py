"""Harmless rates of policies trained in the paper's ways, as they are and at equal length (Tables 1 and 10)."""

from collections.abc import Mapping, Sequence
from statistics import fmean

from preceptor.backends.resolve import open_model
from preceptor.core.types import Response
from preceptor.evaluation.intervals import Estimate, rate_by_prompt
from preceptor.evaluation.policies.rate_at_length import rate_at_length
from preceptor.evaluation.policies.rates import MeasuredText
from preceptor.methods.paper.data import needed
from preceptor.methods.paper.numbers import HARMLESS_RATES, HARMLESS_RATES_AT_EQUAL_LENGTH, Task
from preceptor.methods.paper.policies.answers import Answer
from preceptor.methods.paper.policies.comparing import (
    compared_answers,
    doubts_of_judge,
    judges_of_people,
    missing,
    not_known,
)
from preceptor.methods.paper.policies.in_words import differences, plan_of_task
from preceptor.methods.paper.policies.ways import NEED_PEOPLE, SFT
from preceptor.methods.paper.table import Judged, PaperTable, Setup, Work
from preceptor.methods.paper.words import named
from preceptor.results.reproduction import Findings, PaperRow
from preceptor.store.ledger import Ledger
from preceptor.tasks.evaluate.text_measures import rubric_measures

TASK: Task = "harmless"
RAW, EQUAL = "as it is", "at equal length"


class HarmlessRates(PaperTable):
    """The share of a policy's responses that a judge finds harmless, each by itself; in the paper, people did."""

    name = "harmless_rates"
    title = "Harmless rates, as they are and at equal length"
    source = "Tables 1 and 10"
    columns = ("policy", "harmless rate")

    def lacks(self, setup: Setup) -> str | None:
        """Prompts that ask for harm."""
        return needed(TASK, "prompts") if setup.data.file(TASK, "prompts") is None else None

    def judged(self, setup: Setup) -> Judged:
        """The labels that the policies learn from, if people compared responses to such prompts."""
        known = setup.data.file(TASK, "preferences") is not None
        return {TASK: judges_of_people(setup, TASK)} if known else {}

    def planned(self, setup: Setup) -> tuple[str, ...]:
        """One sentence."""
        return (plan_of_task(setup, TASK),)

    def run(self, work: Work) -> Findings:
        """Two rows for each policy."""
        policies, by_policy = compared_answers(work, TASK)
        found = _harmless(work, by_policy)
        reference = fmean(len(answer.formatted) for answer in by_policy[SFT])
        rows = [row for name in by_policy for row in _two(name, by_policy[name], found.get(name, []), reference)]
        without = [] if work.setup.data.file(TASK, "preferences") else NEED_PEOPLE[:1]
        rows += [
            PaperRow(cells=(way, RAW), paper=HARMLESS_RATES[way], remark=f"needs {needed(TASK, 'preferences')}")
            for way in without
        ]
        return Findings(
            rows=tuple(rows),
            notes=(
                "A response is harmless if the constitution `harmless` gives it more than the middle of its scale. At "
                f"equal length, it is as long as SFT's on average ({reference:.0f} characters).",
                *differences(work.setup, [TASK]),
            ),
            warnings=(
                *missing(policies, TASK),
                *_tells_nothing(work, found),
                *doubts_of_judge(work, TASK),
                not_known(work, TASK),
            ),
        )


def _harmless(work: Work, by_policy: Mapping[str, Sequence[Answer]]) -> dict[str, list[MeasuredText]]:
    """Whether each answer is harmless, by policy; what the judge could not score is left out."""
    model = open_model(work.setup.measured_by, work.setup.connection)
    items = [
        (name, answer.prompt, Response(prompt_id=answer.prompt.id, text=answer.formatted, policy=name))
        for name, of_policy in by_policy.items()
        for answer in of_policy
    ]
    work.progress.stage(f"{TASK}: scoring {len(items)} answers")
    with Ledger(work.folder / "ledger.sqlite") as ledger:
        measures, _, _ = rubric_measures([(TASK, items)], model, ledger, 0.1, work.progress)
    measured = next((measure.texts for measure in measures if measure.name == TASK), ())
    return {name: [text for text in measured if text.policy == name] for name in by_policy}


def _tells_nothing(work: Work, found: Mapping[str, Sequence[MeasuredText]]) -> Sequence[str]:
    """That the judge gives every answer the same, if it does."""
    values = {text.value for of_policy in found.values() for text in of_policy}
    if len(values) != 1:
        return ()
    what = "every answer" if values == {1.0} else "no answer"
    return (f"{TASK}: {named(work.setup.measured_by)} finds {what} harmless: these rates say nothing of the policies.",)


def _two(
    name: str, answers: Sequence[Answer], measured: Sequence[MeasuredText], reference: float
) -> Sequence[PaperRow]:
    by_prompt = {text.prompt_id: text.value for text in measured}
    scored = [answer for answer in answers if answer.prompt.id in by_prompt]
    values = [by_prompt[answer.prompt.id] for answer in scored]
    equal = _at_equal_length(name, scored, values, reference)
    return (
        PaperRow(
            cells=(name, RAW),
            ours=rate_by_prompt([[value] for value in values]),
            paper=HARMLESS_RATES.get(name),
            remark="" if values else "the judge scored no answer",
        ),
        PaperRow(
            cells=(name, EQUAL),
            ours=equal,
            paper=HARMLESS_RATES_AT_EQUAL_LENGTH.get(name),
            remark="" if equal else _why_unknown(values),
        ),
    )


def _why_unknown(values: Sequence[float]) -> str:
    if values and len(set(values)) == 1:
        return "every answer has the same"
    return "too few prompts, or answers too far from this length"


def _at_equal_length(name: str, scored: Sequence[Answer], values: Sequence[float], reference: float) -> Estimate | None:
    if name == SFT:
        return rate_by_prompt([[value] for value in values])
    return rate_at_length(values, [len(answer.formatted) for answer in scored], reference)
