"""How a judge is asked. The constitution says what it should prefer."""

import re
from typing import Literal, TypeAlias

from pydantic import Field, ValidationError, model_validator

from preceptor.backends.base import Thinking, ThinkingLevel
from preceptor.core.errors import UsageError
from preceptor.core.settings import Settings
from preceptor.core.types import Flag, Integer, JsonObject, Seed, Temperature, Tokens
from preceptor.core.validation import first_problem
from preceptor.judging.ask import Reasoning
from preceptor.judging.combine import Combine

Aggregation: TypeAlias = Literal["explicit", "implicit"]
Met: TypeAlias = Literal["soft", "threshold"]
FailedItems: TypeAlias = Literal["abstain", "leave_out"]


class JudgingSettings(Settings):
    """Settings that all judges have in common."""

    rationale: Flag = False
    """Whether the judge is asked to write down its reasons before it answers (chain of thought)."""
    thinking: ThinkingLevel | None = None
    """How long a model that was trained to think may think before it answers: `off`; `low`, `medium` or `high`, which
    are at most 1,024, 4,096 and 8,192 tokens; or a number of tokens. Its thought is kept as the rationale. If unset,
    nothing is said of it, and a model that thinks by itself may fail to answer."""
    rationale_tokens: Tokens = Field(default=160, ge=8)
    """Length limit of a rationale, in tokens."""
    samples: Integer = Field(default=1, ge=1, le=1_000)
    """Rationales or thoughts sampled for each presentation; preferences are averaged (self-consistency). One rationale
    is greedy; a thought is always sampled."""
    temperature: Temperature = 0.7
    """Sampling temperature of the rationales, if several are sampled."""
    top_k: Integer = Field(default=40, ge=0, le=1_000_000)
    """Number of most probable tokens to sample from, if several rationales are sampled; 0 for all, which some servers
    require."""
    seed: Seed = 0
    """Seed of sampled rationales, thoughts and principles."""
    criteria: Literal["each", "one_call"] = "each"
    """Ask for each criterion of the score rubric, or each item of a prompt's rubric, in a call of its own, whose
    probabilities are exact; or for all of them in one call, which costs less and gives single answers. Applies where a
    response is scored."""

    @model_validator(mode="after")
    def _samples_need_a_rationale(self) -> "JudgingSettings":
        if self.samples > 1 and not (self.rationale or self._thinks):
            raise ValueError("samples > 1 needs rationale = true or thinking: without one every sample is the same")
        return self

    @model_validator(mode="after")
    def _one_kind_of_reasoning(self) -> "JudgingSettings":
        if self.rationale and self._thinks:
            raise ValueError(
                "a judge that thinks gives its thought as the rationale; leave out rationale (cot, sc-N), or set "
                'thinking = "off"'
            )
        return self

    @property
    def _thinks(self) -> bool:
        return self.thinking not in (None, "off")

    @property
    def thought(self) -> Thinking | None:
        """How the judge thinks, without a seed; None if nothing is said of it."""
        return None if self.thinking is None else Thinking(self.thinking)

    @property
    def reasoning(self) -> Reasoning | None:
        """How the judge reasons; None if it does not."""
        if not self.rationale:
            return None
        sampled = self.samples > 1
        return Reasoning(
            self.rationale_tokens, self.temperature if sampled else 0.0, self.top_k or None if sampled else None
        )

    def for_rater(self) -> JsonObject:
        """The settings that can change an opinion, for a rater; sampling settings only if anything is sampled."""
        settings = self.model_dump(mode="json")
        unused: set[str] = set()
        if not self.rationale:
            unused |= {"rationale_tokens"} if self._thinks else {"rationale_tokens", "samples"}
        if self.samples == 1 or not self.rationale:
            unused |= {"temperature", "top_k"}
        if self.samples == 1 and not self._thinks and settings.get("principles") != "sampled":
            unused |= {"seed"}
        if self.thinking is None:  # raters that were recorded before this setting existed stay the same
            unused |= {"thinking"}
        settings = {name: value for name, value in settings.items() if name not in unused}
        if self.criteria == "each":
            del settings["criteria"]  # raters that were recorded before this setting existed stay the same
        return settings


class PairwiseSettings(JudgingSettings):
    """How a judge compares two responses (Lee et al. 2023, section 2.1)."""

    preamble: Literal["base", "detailed"] = "detailed"
    """`detailed` shows the constitution's instruction and principles, `base` one neutral sentence."""
    exemplars: Integer = Field(default=0, ge=0, le=1_000)
    """How many of the constitution's exemplars are shown."""
    principles: Literal["all", "sampled", "each"] = "all"
    """Show all principles, or one drawn for each comparison, or each in turn and average the preferences."""
    order: Literal["both", "single"] = "both"
    """Show every comparison in both orders, to cancel position bias, or in one."""
    combine: Combine = "mean"
    """How the preferences of both orders are combined: as the mean of probabilities, or of log-odds."""
    shown: Literal["together", "alone", "rubric"] = "together"
    """Show both responses in one prompt; or score each alone by the constitution's score rubric (`alone`) or by the
    rubric of its prompt (`rubric`), and compare scores."""
    aggregation: Aggregation = "explicit"
    """See `RubricSettings`; this and the two below apply with shown = "rubric"."""
    met: Met = "soft"
    """See `RubricSettings`."""
    failed_items: FailedItems = "abstain"
    """See `RubricSettings`."""

    vote: Flag = False
    """Give the likeliest answer as a vote, 1, 0 or one half for a tie, instead of its probability. The mean of several
    judges that vote is the share of votes (a panel)."""

    @model_validator(mode="after")
    def _principles_need_a_preamble(self) -> "PairwiseSettings":
        if self.preamble == "base" and self.principles != "all":
            raise ValueError('principles are not shown with preamble = "base"')
        return self

    @model_validator(mode="after")
    def _alone_leaves_nothing_to_arrange(self) -> "PairwiseSettings":
        unused = (() if self.shown == "rubric" else _RUBRIC) + (() if self.shown == "together" else _TOGETHER)
        for name in unused:
            if getattr(self, name) != PairwiseSettings.model_fields[name].default:
                raise ValueError(f'{name} has no meaning with shown = "{self.shown}"')
        if self.shown == "together" and self.criteria != "each":
            raise ValueError('criteria has no meaning with shown = "together": two responses are compared as a whole')
        return self

    @property
    def by_rubric(self) -> "RubricSettings":
        """How a response is scored by the rubric of its prompt."""
        return RubricSettings(**{name: getattr(self, name) for name in RubricSettings.model_fields})

    @property
    def scoring(self) -> "ScoreSettings":
        """How a response that is shown alone is scored."""
        return ScoreSettings(**{name: getattr(self, name) for name in ScoreSettings.model_fields})

    def for_rater(self) -> JsonObject:
        """As for all judges; if responses are shown alone, without the settings that arrange two of them."""
        voting: JsonObject = {"vote": True} if self.vote else {}
        if self.shown == "rubric":
            return {"shown": "rubric"} | self.by_rubric.for_rater() | voting
        unused = (*_RUBRIC, "vote")  # raters that were recorded before these settings existed stay the same
        settings = {name: value for name, value in super().for_rater().items() if name not in unused} | voting
        if self.shown == "alone":
            return {name: value for name, value in settings.items() if name not in _TOGETHER}
        del settings["shown"]  # raters that were recorded before this setting existed stay the same
        return settings


_TOGETHER = ("preamble", "exemplars", "principles", "order", "combine")
"""Settings that apply only if a judge sees both responses at once."""
_RUBRIC = ("aggregation", "met", "failed_items")
"""Settings that apply only if a judge goes by the rubrics of prompts."""


class RubricSettings(JudgingSettings):
    """How a judge scores a response by the rubric of its prompt."""

    aggregation: Aggregation = "explicit"
    """`explicit`: each item is judged, and the score is the sum of points met over the sum of positive points, within
    [0, 1]. `implicit`: the judge is shown the whole rubric and gives one score from 1 to 10, mapped to [0, 1]; no item
    is judged or run by itself."""
    met: Met = "soft"
    """`soft`: an item counts with the probability that it is met. `threshold`: fully if that is at least one half,
    otherwise not at all."""
    failed_items: FailedItems = "abstain"
    """What a failed item does: the response has no score (`abstain`), or the item is left out (`leave_out`), and its
    points are not among those that could be reached. It never counts as not met."""

    @model_validator(mode="after")
    def _implicit_scores_have_no_items(self) -> "RubricSettings":
        if self.aggregation == "implicit":
            for name in ("met", "failed_items", "criteria"):
                if getattr(self, name) != RubricSettings.model_fields[name].default:
                    raise ValueError(f'{name} has no meaning with aggregation = "implicit": no item is judged alone')
        return self

    def for_rater(self) -> JsonObject:
        """As for all judges; with implicit aggregation, without the settings of items."""
        settings = super().for_rater()
        unused = ("met", "failed_items") if self.aggregation == "implicit" else ()
        return {name: value for name, value in settings.items() if name not in unused}


class ScoreSettings(JudgingSettings):
    """How a judge scores a response."""


def variant(name: str) -> PairwiseSettings:
    """The settings behind a variant's short name, for tables of variants.

    Parts joined by +: `base` or `detailed`, `cot` (chain of thought), `K-shot` (exemplars), `sc-N` (N sampled
    rationales), `single` (one order), `log-odds`, `each`, `sampled`, `scored` (each response alone, by the score
    rubric), `rubric` (each response alone, by its prompt's rubric), `implicit`, `threshold` and `leave-out` (with
    `rubric`, see `RubricSettings`), `one-call` (with `scored` or `rubric`: all criteria in one call), `think-LEVEL`
    (off, low, medium, high or a number of tokens), `vote` (the likeliest answer instead of probabilities). For instance
    `detailed+cot+2-shot`.

    Raises: UsageError for an unknown part or parts that exclude each other.
    """
    settings: JsonObject = {}
    for part in name.split("+"):
        chosen = _part(part)
        if chosen is None:
            raise UsageError(
                f'"{part}" in the variant "{name}": expected base, detailed, cot, K-shot, sc-N, single, log-odds, '
                "sampled, each, scored, rubric, implicit, threshold, leave-out, one-call, vote or think-LEVEL, joined "
                "by +"
            )
        for key, value in chosen.items():
            if settings.setdefault(key, value) != value:
                raise UsageError(f'"{part}" in the variant "{name}": {key} is {settings[key]} by an earlier part')
    try:
        return PairwiseSettings.model_validate(settings)
    except ValidationError as error:
        raise UsageError(f'the variant "{name}": {first_problem(error)}') from error


def short_name(settings: PairwiseSettings) -> str:
    """The short name of a way of asking, as `variant` reads it; what has no part of a name is left out."""
    parts = [
        {"alone": "scored", "rubric": "rubric"}.get(settings.shown, settings.preamble),
        *(["implicit"] if settings.aggregation == "implicit" else []),
        *(["threshold"] if settings.met == "threshold" else []),
        *(["leave-out"] if settings.failed_items == "leave_out" else []),
        *(["cot"] if settings.rationale else []),
        *([f"{settings.exemplars}-shot"] if settings.exemplars else []),
        *([f"sc-{settings.samples}"] if settings.samples > 1 else []),
        *([f"think-{settings.thinking}"] if settings.thinking is not None else []),
        *(["single"] if settings.order == "single" else []),
        *(["log-odds"] if settings.combine == "log_odds" else []),
        *([settings.principles] if settings.principles != "all" else []),
        *(["vote"] if settings.vote else []),
    ]
    return "+".join(parts)


def in_words(settings: PairwiseSettings) -> str:
    """The short name of a way of asking, and what it leaves out: `detailed+cot, rationale_tokens=64`."""
    name = short_name(settings)
    said = variant(name)
    values = {key: getattr(settings, key) for key in PairwiseSettings.model_fields}
    return ", ".join([name, *(f"{key}={value}" for key, value in values.items() if value != getattr(said, key))])


def _part(part: str) -> JsonObject | None:
    """The settings behind one part of a variant's name; None for an unknown part."""
    fixed: dict[str, JsonObject] = {
        "base": {"preamble": "base"},
        "detailed": {"preamble": "detailed"},
        "cot": {"rationale": True},
        "single": {"order": "single"},
        "log-odds": {"combine": "log_odds"},
        "each": {"principles": "each"},
        "sampled": {"principles": "sampled"},
        "scored": {"shown": "alone"},
        "rubric": {"shown": "rubric"},
        "implicit": {"aggregation": "implicit"},
        "threshold": {"met": "threshold"},
        "leave-out": {"failed_items": "leave_out"},
        "one-call": {"criteria": "one_call"},
        "vote": {"vote": True},
    }
    if shots := re.fullmatch(r"(\d+)-shot", part):
        return {"exemplars": _number(shots[1])}
    if samples := re.fullmatch(r"sc-(\d+)", part):
        return {"rationale": True, "samples": _number(samples[1])}
    if thinking := re.fullmatch(r"think-(off|low|medium|high|\d+)", part):
        return {"thinking": _number(thinking[1]) if thinking[1].isdigit() else thinking[1]}
    return fixed.get(part)


def _number(digits: str) -> int:
    """The number; if it has too many digits to be read, a number beyond every bound."""
    return int(digits[:20])
