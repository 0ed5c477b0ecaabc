"""The pairwise judge: which of two responses is better, as a soft preference."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from preceptor.backends.base import LanguageModel, asked_identity
from preceptor.core.errors import UsageError
from preceptor.core.hashing import unit_hash
from preceptor.core.seeds import derive_seed
from preceptor.core.types import Comparison, JudgeFailure, Preference, Presentation, Verdict
from preceptor.judging.ask import Demand, Question, ask, demand_of, longest_request
from preceptor.judging.combine import combine, voted
from preceptor.judging.constitution import Constitution
from preceptor.judging.recorded import RecordedModel
from preceptor.judging.render import BASE_INSTRUCTION, comparison_text, preamble, prompt_text
from preceptor.judging.settings import PairwiseSettings
from preceptor.judging.trajectory import fit, response_text
from preceptor.store.ledger import Ledger

ENDING = "Preferred response:"
REASON = (
    "Weigh the two responses against each other in two to four sentences: what each does well and badly by what was "
    "said above. Do not name the preferred one yet."
)
BASE_REASON = "Weigh the two responses against each other in two to four sentences. Do not name the preferred one yet."


@dataclass(frozen=True)
class PlannedPresentation:
    """A presentation of a comparison that is still to be judged."""

    comparison: Comparison
    order: Literal["ab", "ba"]
    principles: tuple[int, ...]
    sample: int


class PairwiseJudge:
    """A language model that compares two responses by a constitution (Lee et al. 2023, section 2.1).

    The preference is read from the probabilities of the answers as the model's next words. It combines all
    presentations that the settings ask for: both orders, each principle, each sample. If one of them fails, there is
    no preference.

    Raises: UsageError when the settings ask for more exemplars than there are, or than the model's window holds.
    """

    def __init__(
        self, model: LanguageModel, constitution: Constitution, settings: PairwiseSettings, ledger: Ledger
    ) -> None:
        if settings.shown != "together":
            raise ValueError("responses that are shown alone are judged by a ScoredPairJudge or a RubricPairJudge")
        self.constitution = constitution
        self.settings = settings
        identity = asked_identity(model, settings.thinking)
        self.rater = constitution.rater(identity, settings.for_rater())
        self.model = RecordedModel(model, ledger, self.rater)
        self.members = (self,)
        self._check_exemplars()

    def compare(self, comparisons: Sequence[Comparison]) -> list[Preference | JudgeFailure]:
        """A preference or a failure for each comparison, in order.

        Raises: PreceptorError when the budget is spent or the model cannot be asked at all.
        """
        planned = [self._presentations(comparison) for comparison in comparisons]
        judged = iter(self.present([each for presentations in planned for each in presentations]))
        return [
            self._preference(comparison, [(each, next(judged)) for each in presentations])
            for comparison, presentations in zip(comparisons, planned, strict=True)
        ]

    def present(self, planned: Sequence[PlannedPresentation]) -> list[Presentation | JudgeFailure]:
        """What the judge says at each presentation, or a failure, in order.

        Raises: PreceptorError when the budget is spent or the model cannot be asked at all.
        """
        verdicts = ask(self.model, [self.question(each) for each in planned], self.settings.reasoning)
        return [
            verdict if isinstance(verdict, JudgeFailure) else self._presentation(each, verdict)
            for each, verdict in zip(planned, verdicts, strict=True)
        ]

    def questions(self, comparison: Comparison) -> list[Question]:
        """Everything that would be asked about a comparison."""
        return [self.question(planned) for planned in self._presentations(comparison)]

    def demand(self, comparisons: Sequence[Comparison]) -> Demand:
        """The cost of judging the comparisons if none is on record."""
        questions = [question for comparison in comparisons for question in self.questions(comparison)]
        return demand_of(self.model.model, questions, self.settings.reasoning)

    def question(self, planned: PlannedPresentation) -> Question:
        """The question of one presentation; a trajectory is shortened to fit the window."""
        shown = planned.comparison if planned.order == "ab" else planned.comparison.swapped()
        opening = self._opening(planned.principles, self.settings.exemplars)
        prompt = prompt_text(shown.prompt.conversation)

        def whole(limit: int | None) -> Question:
            item = comparison_text(prompt, response_text(shown.a, limit), response_text(shown.b, limit))
            return self._question(opening, item, planned)

        if not (shown.a.trajectory or shown.b.trajectory):
            return whole(None)
        window = self.model.model.context_window
        reasoning = self.settings.reasoning
        return fit(whole, lambda question: longest_request(self.model.model, question, reasoning), window)

    def _question(self, opening: str, item: str, planned: PlannedPresentation) -> Question:
        base, rubric = self.settings.preamble == "base", self.constitution.pairwise
        asked = "Which response is better?" if base else rubric.question
        return Question(
            text=f"{opening}\n\n{item}\n\n{asked}",
            ending=ENDING,
            choices=rubric.choices,
            reason=BASE_REASON if base else REASON,
            # The same seed for both orders, so that chance in a rationale does not look like position bias.
            seed=derive_seed(self.settings.seed, "rationale", planned.comparison.id, planned.sample),
            thinking=self.settings.thought,
        )

    def _opening(self, principles: tuple[int, ...], exemplars: int) -> str:
        """Preamble and exemplars."""
        base = self.settings.preamble == "base"
        parts = [BASE_INSTRUCTION if base else preamble(self.constitution, principles)]
        for exemplar in self.constitution.pairwise.exemplars[:exemplars]:
            reasoned = f"\n{exemplar.rationale}" if self.settings.rationale else ""
            item = comparison_text(exemplar.prompt, exemplar.response_1, exemplar.response_2)
            parts.append(f"{item}{reasoned}\n{ENDING} {exemplar.preferred}")
        return "\n\n".join(parts)

    def _presentations(self, comparison: Comparison) -> list[PlannedPresentation]:
        count = len(self.constitution.principles)
        shown: list[tuple[int, ...]] = [()]
        if self.settings.principles == "sampled":
            shown = [(int(unit_hash("principle", self.settings.seed, comparison.id) * count),)]
        elif self.settings.principles == "each":
            shown = [(i,) for i in range(count)]
        orders: tuple[Literal["ab", "ba"], ...] = ("ab", "ba") if self.settings.order == "both" else ("ab",)
        return [
            PlannedPresentation(comparison, order, principles, sample)
            for principles in shown
            for sample in range(self.settings.samples)
            for order in orders
        ]

    def _preference(
        self, comparison: Comparison, judged: Sequence[tuple[PlannedPresentation, Presentation | JudgeFailure]]
    ) -> Preference | JudgeFailure:
        presentations: list[Presentation] = []
        for planned, presentation in judged:
            if isinstance(presentation, JudgeFailure):
                return presentation.model_copy(update={"detail": f"order {planned.order}: {presentation.detail}"})
            presentations.append(presentation)
        preference = Preference(
            comparison=comparison,
            p_a=combine([p.p_a for p in presentations], self.settings.combine),
            p_tie=sum(p.p_tie for p in presentations) / len(presentations),
            rater=self.rater,
            presentations=tuple(presentations),
        )
        return voted(preference) if self.settings.vote else preference

    def _presentation(self, planned: PlannedPresentation, verdict: Verdict) -> Presentation:
        rubric = self.constitution.pairwise
        p_tie = verdict.probabilities[rubric.tie] if rubric.tie else 0.0
        p_first = min(1.0, verdict.probabilities[rubric.answers[0]] + p_tie / 2)
        return Presentation(
            order=planned.order,
            principles=planned.principles,
            sample=planned.sample,
            p_a=p_first if planned.order == "ab" else 1.0 - p_first,
            p_tie=p_tie,
            verdict=verdict,
        )

    def _check_exemplars(self) -> None:
        there, wanted = len(self.constitution.pairwise.exemplars), self.settings.exemplars
        if wanted > there:
            raise UsageError(f'{wanted} exemplars asked for; the constitution "{self.constitution.name}" has {there}')
        window = self.model.model.context_window
        if not wanted or window is None:
            return
        for number in range(1, wanted + 1):
            empty = comparison_text("", "", "")
            text = f"{self._opening((), number)}\n\n{empty}\n\n{self.constitution.pairwise.question}"
            question = Question(
                text, ENDING, self.constitution.pairwise.choices, REASON, thinking=self.settings.thought
            )
            tokens = longest_request(self.model.model, question, self.settings.reasoning)
            if tokens >= window:
                raise UsageError(
                    f'exemplar {number} of "{self.constitution.name}" does not fit: with it the prompt takes {tokens} '
                    f"tokens before there is anything to judge, and the window holds {window}; show fewer exemplars"
                )
