"""Groundedness: the claims of a response, each judged against a context.

The judge splits the response into claims in one call. Each claim is then shown alone below the numbered sentences of
the context, and two answers are read from probabilities: whether the context supports it, contradicts it or does not
say; and which sentence decides. So a wrong number does not hide among true sentences, and each verdict can be checked.

A response's score is the mean over its claims: its expectation is the share of claims that are supported. A claim
without a verdict leaves the response without a score, and so does a response that claims nothing: it has no share.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, TypeAlias

from pydantic import Field

from preceptor.backends.base import CompleteRequest, in_order
from preceptor.core.errors import UsageError
from preceptor.core.numbers import percent
from preceptor.core.seeds import derive_seed
from preceptor.core.sentences import sentences
from preceptor.core.types import Frozen, JudgeFailure, NonEmpty, Prompt, Rater, Response, Score, Verdict, total_usage
from preceptor.judging.ask import Demand, Question, ask, demand_of
from preceptor.judging.claims import Split, SplitBy, read_split, split_by_sentences, split_request
from preceptor.judging.combine import mixture
from preceptor.judging.constitution import CLAIM_VALUES, ClaimExemplar, ClaimsRubric, Constitution
from preceptor.judging.one_call import demand_of_requests
from preceptor.judging.recorded import RecordedModel
from preceptor.judging.render import one_line, preamble, prompt_text, tagged
from preceptor.judging.settings import ScoreSettings

CONTEXT = "context"
"""The key of a prompt's metadata that holds what its responses are to be grounded in."""
ENDING = "Answer:"
EVIDENCE_ENDING = "Sentence:"
REASON = "Say in one or two sentences what the context says about the claim. Do not give the answer yet."
_OWN_TAG = re.compile(r"<(\s*(?:/\s*)?(?:context|claim)\b[^<>]{0,80})>?", re.IGNORECASE)
_NUMBER = re.compile(r"\[\s*(\d+)\s*\]")


class ClaimVerdict(Frozen):
    """A claim of a response, what the judge thinks of it, and the sentence on which it rests."""

    claim: NonEmpty
    verdict: Verdict
    """Probabilities of `supported`, `contradicted` and `absent`."""
    number: int | None = None
    """The sentence's place in the context, from 1; None if the claim most probably is absent from the context, or if
    the judge failed to name a sentence."""
    sentence: str | None = None
    """The sentence of the context that supports or contradicts the claim."""

    @property
    def answer(self) -> str:
        """The likeliest of the three answers."""
        return max(self.verdict.probabilities, key=lambda answer: self.verdict.probabilities[answer])

    def __str__(self) -> str:
        where = f" [sentence {self.number}: {self.sentence}]" if self.number else ""
        return f"{self.answer} ({percent(self.verdict.probabilities[self.answer])}): {self.claim}{where}"


class GroundedScore(Score):
    """A score by the claims of a response: its expectation is the share of claims that the context supports."""

    claims: Annotated[tuple[ClaimVerdict, ...], Field(min_length=1)]
    split_by: SplitBy
    """Whether the judge listed the claims, or each sentence of the response is one."""

    def share(self, answer: str) -> float:
        """The share of claims that are `supported`, `contradicted` or `absent`, by their probabilities."""
        return self.verdict.probabilities[answer]

    @property
    def shares(self) -> list[tuple[float, float]]:
        """Each share of claims that may be supported, with its probability: the claims are independent, so the number
        of supported ones has a Poisson binomial distribution.
        """
        chances = [1.0]
        for claim in self.claims:
            p = claim.verdict.probabilities["supported"]
            chances = [
                stays * (1.0 - p) + rises * p for stays, rises in zip([*chances, 0.0], [0.0, *chances], strict=True)
            ]
        return [(count / len(self.claims), chance) for count, chance in enumerate(chances)]

    def __repr__(self) -> str:
        shares = ", ".join(f"{percent(p)} {answer}" for answer, p in self.verdict.probabilities.items())
        return f"GroundedScore({shares} of {len(self.claims)} claims, by {self.rater.model})"

    __str__ = __repr__


Outcome: TypeAlias = "GroundedScore | JudgeFailure"


@dataclass(frozen=True)
class _Asked:
    """A claim and the questions about it."""

    claim: str
    sentences: tuple[str, ...]
    """Of the context."""
    verdicts: tuple[Question, ...]
    """One for each sample."""
    evidence: tuple[Question, ...]
    """One; none if the context leaves no choice."""


class ClaimJudge:
    """A language model that judges the claims of responses. `ScoreJudge` asks it where a constitution says so."""

    def __init__(
        self, model: RecordedModel, constitution: Constitution, rubric: ClaimsRubric, settings: ScoreSettings
    ) -> None:
        self.model = model
        self.constitution = constitution
        self.rubric = rubric
        self.settings = settings
        self._opening = "\n\n".join((preamble(constitution), *map(_exemplar, rubric.exemplars)))

    def score(self, items: Sequence[tuple[Prompt, Response]], rater: Rater) -> list[Outcome]:
        """A score or a failure for each response, in order.

        Raises: UsageError when a prompt's context is not text; PreceptorError when the budget is spent or the model
            cannot be asked at all.
        """
        prompts, texts = [prompt for prompt, _ in items], [response.text for _, response in items]
        splits = self._splits(texts)
        asked_N = [
            [] if isinstance(split, JudgeFailure) else [self._about(prompt, claim) for claim in split.claims]
            for prompt, split in zip(prompts, splits, strict=True)
        ]
        judged = iter(self._judged([asked for of_response in asked_N for asked in of_response]))
        return [
            split if isinstance(split, JudgeFailure) else _scored(split, [next(judged) for _ in asked], rater)
            for split, asked in zip(splits, asked_N, strict=True)
        ]

    def demand(self, items: Sequence[tuple[Prompt, Response]]) -> Demand:
        """The cost of scoring the responses if none is on record and each sentence makes one claim."""
        model = self.model.model
        asked = [
            self._about(prompt, claim)
            for prompt, response in items
            for claim in split_by_sentences(response.text).claims
        ]
        parts = (
            demand_of_requests(model, self._split_requests([response.text for _, response in items])),
            demand_of(model, [q for a in asked for q in a.verdicts], self.settings.reasoning),
            demand_of(model, [q for a in asked for q in a.evidence], None),
        )
        return Demand(sum(part.calls for part in parts), total_usage(part.usage for part in parts))

    def _splits(self, texts: Sequence[str]) -> list[Split | JudgeFailure]:
        requests = self._split_requests(texts)
        if not requests:
            return [split_by_sentences(text) for text in texts]
        answers = in_order(self.model.complete(requests), len(requests))
        return [read_split(text, answer) for text, answer in zip(texts, answers, strict=True)]

    def _split_requests(self, texts: Sequence[str]) -> list[CompleteRequest]:
        """One for each response; none for a model that takes no instructions."""
        model = self.model.model
        if not model.chat:
            return []
        return [split_request(model, self.rubric.split, text, self.settings.thought) for text in texts]

    def _about(self, prompt: Prompt, claim: str) -> _Asked:
        """Everything that is asked about a claim. The questions begin alike, so that the context is read once."""
        context = sentences(context_of(prompt))
        shown = f"{self._opening}\n\n{_question_of(prompt)}{_tagged_context(context)}\n{_tagged_claim(claim)}"
        seeds = [
            derive_seed(self.settings.seed, "rationale", prompt.id, claim, s) for s in range(self.settings.samples)
        ]
        answers, numbers = tuple(CLAIM_VALUES), tuple(str(i) for i in range(1, len(context) + 1))
        thought = self.settings.thought
        verdict = f"{shown}\n\n{self.rubric.question}"
        evidence = Question(f"{shown}\n\n{self.rubric.evidence}", EVIDENCE_ENDING, numbers, "", seeds[0], thought)
        return _Asked(
            claim=claim,
            sentences=tuple(context),
            verdicts=tuple(Question(verdict, ENDING, answers, REASON, seed, thought) for seed in seeds),
            evidence=(evidence,) if len(context) > 1 else (),
        )

    def _judged(self, asked: Sequence[_Asked]) -> list[ClaimVerdict | JudgeFailure]:
        """The verdict on each claim, with the sentence on which it rests."""
        about = [question for of_claim in asked for question in of_claim.verdicts]
        which = [question for of_claim in asked for question in of_claim.evidence]
        if self.settings.reasoning is None:
            together = ask(self.model, [*about, *which])
            verdicts, evidence = iter(together[: len(about)]), iter(together[len(about) :])
        else:
            verdicts, evidence = iter(ask(self.model, about, self.settings.reasoning)), iter(ask(self.model, which))
        return [
            _judgement(a, [next(verdicts) for _ in a.verdicts], [next(evidence) for _ in a.evidence]) for a in asked
        ]


def context_of(prompt: Prompt) -> str:
    """What the responses to a prompt are to be grounded in: the text under `context` in its metadata, or a list of
    texts; otherwise all that the prompt says, such as the document that is to be summarised.

    Raises: UsageError when the context is neither.
    """
    given = prompt.metadata.get(CONTEXT)
    if given is None:
        return prompt_text(prompt.conversation)
    if isinstance(given, str):
        return given
    if isinstance(given, list) and all(isinstance(text, str) for text in given):
        return "\n".join(map(str, given))
    raise UsageError(f'prompt "{prompt.id}": metadata.{CONTEXT}: expected a text or a list of texts')


def _question_of(prompt: Prompt) -> str:
    """The prompt, where the context is not the prompt itself: a claim may be an answer to it."""
    return f"{tagged('prompt', prompt_text(prompt.conversation))}\n" if CONTEXT in prompt.metadata else ""


def _exemplar(exemplar: ClaimExemplar) -> str:
    answered = [f"{_tagged_claim(judged.claim)}\n{ENDING} {judged.answer}" for judged in exemplar.claims]
    return "\n".join((_tagged_context(sentences(exemplar.context)), *answered))


def _tagged_context(context: Sequence[str]) -> str:
    """The numbered sentences of a context, each on one line."""
    return tagged("context", "\n".join(f"[{i}] {_harmless(sentence)}" for i, sentence in enumerate(context, start=1)))


def _tagged_claim(claim: str) -> str:
    return tagged("claim", _harmless(claim))


def _harmless(text: str) -> str:
    """The text on one line, without what could pass for a tag or for the number of a sentence."""
    untagged = _OWN_TAG.sub(lambda match: f"({match[1].strip()})", one_line(text))
    return _NUMBER.sub(lambda match: f"({match[1]})", untagged)


def _judgement(
    asked: _Asked, verdicts_S: Sequence[Verdict | JudgeFailure], evidence: Sequence[Verdict | JudgeFailure]
) -> ClaimVerdict | JudgeFailure:
    """The mean verdict of all samples, with the sentence; a failure if one of the samples is."""
    given = [verdict for verdict in verdicts_S if not isinstance(verdict, JudgeFailure)]
    if len(given) < len(verdicts_S):
        return next(verdict for verdict in verdicts_S if isinstance(verdict, JudgeFailure))
    usage = total_usage(verdict.usage for verdict in (*given, *evidence))
    judged = ClaimVerdict(
        claim=asked.claim, verdict=mixture(given, [1.0] * len(given)).model_copy(update={"usage": usage})
    )
    number = _decisive(asked.sentences, evidence)
    if number is None or judged.answer == "absent":
        return judged
    return judged.model_copy(update={"number": number, "sentence": asked.sentences[number - 1]})


def _decisive(sentences_of_context: Sequence[str], evidence: Sequence[Verdict | JudgeFailure]) -> int | None:
    """The number of the likeliest sentence. A context of one sentence leaves no choice, an empty one has none."""
    if not evidence:
        return 1 if sentences_of_context else None
    [verdict] = evidence
    if isinstance(verdict, JudgeFailure):
        return None
    return int(max(verdict.probabilities, key=lambda number: verdict.probabilities[number]))


def _scored(split: Split, claims: Sequence[ClaimVerdict | JudgeFailure], rater: Rater) -> Outcome:
    """The score of a response by its claims."""
    if not claims:
        return JudgeFailure(reason="no_claims", detail="the response makes no claim to judge", usage=split.usage)
    judged = [claim for claim in claims if not isinstance(claim, JudgeFailure)]
    if len(judged) < len(claims):
        number, failure = next((i, c) for i, c in enumerate(claims, start=1) if isinstance(c, JudgeFailure))
        return failure.model_copy(update={"detail": f"claim {number} of {len(claims)}: {failure.detail}"})
    verdict = mixture([claim.verdict for claim in judged], [1.0] * len(judged))
    listed = "\n".join(f"{number}. {claim}" for number, claim in enumerate(judged, start=1))
    by = "Claims listed by the judge:" if split.by == "judge" else "Each sentence taken as a claim:"
    told = {"rationale": f"{by}\n{listed}", "usage": total_usage((split.usage, verdict.usage))}
    return GroundedScore(
        verdict=verdict.model_copy(update=told),
        values=dict(CLAIM_VALUES),
        rater=rater,
        claims=tuple(judged),
        split_by=split.by,
    )
