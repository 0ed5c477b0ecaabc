"""The share of production's responses that failed: by cohort and time, and for each model beside the one before it."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date

from preceptor.evaluation.intervals import LEAST, Estimate
from preceptor.evaluation.judges.agreement import share_by_prompt
from preceptor.evaluation.policies.windows import (
    FailTrend,
    Length,
    TimedOutcome,
    fail_trends,
    fitting_length,
    in_utc,
    p_of_rise,
    window_start,
)
from preceptor.evaluation.signs import ALPHA, holm


@dataclass(frozen=True)
class ProductionResponse:
    """A response that production gave, and whether it failed."""

    prompt_id: str
    cohort: str
    prompt: str
    """The beginning of what the user asked."""
    time: str
    """ISO 8601."""
    model: str | None
    failed: bool
    why: str
    """Signs of failure in words, or the judge's preference."""
    row_id: str = ""
    """Id of the judged comparison; empty for a prompt of a cohort file."""
    line: int = 0
    """Line of the judged comparison in its file, counted from 0."""

    @property
    def asked(self) -> str:
        """When it was asked, to the minute, in UTC."""
        return f"{in_utc(self.time):%Y-%m-%d %H:%M}"


@dataclass(frozen=True)
class Side:
    """The responses of one model."""

    model: str
    failing: Estimate
    prompts: int


@dataclass(frozen=True)
class Deployment:
    """A model beside the one that answered before it."""

    cohort: str | None
    """None for all cohorts together."""
    since: date
    """The day of its first response in the data, in UTC."""
    before: Side
    after: Side
    p_value: float | None
    """One-sided: the probability of such a rise if both models failed equally often; None if there is too little
    data."""
    p_holm: float | None = None
    """After Holm's correction over all models and cohorts of the same source."""

    @property
    def change(self) -> float:
        """Share of failures after minus before."""
        return self.after.failing.value - self.before.failing.value

    @property
    def worse(self) -> bool | None:
        """Whether it regressed; None if there is too little data. False does not mean that nothing changed."""
        return None if self.p_holm is None else self.p_holm < ALPHA


@dataclass(frozen=True)
class OverTime:
    """What a source shows over time."""

    length: Length
    trends: Sequence[FailTrend]
    """All cohorts together, then each if there are several."""
    deployments: Sequence[Deployment]
    """In order of time; all cohorts together first."""

    @property
    def worse(self) -> bool:
        """Whether the last window, or a model, is worse than what was before it."""
        return any(part.worse for part in (*self.trends, *self.deployments))


def over_time(responses: Sequence[ProductionResponse]) -> OverTime:
    """Computes trends and compares models. Of responses without a model only the time counts."""
    length = fitting_length([row.time for row in responses])
    rows = [TimedOutcome(row.cohort, row.time, row.failed, row.prompt_id) for row in responses]
    return OverTime(length, fail_trends(rows, length), deployments(responses))


def deployments(responses: Sequence[ProductionResponse]) -> tuple[Deployment, ...]:
    """Each model beside the one whose first response came before its own.

    All responses of a model count, whenever they were given, so that a model that is brought back, or two that answer
    side by side, are compared rightly. A model with fewer than ten prompts is no model to compare a later one with,
    unless there is no other.
    """
    first: dict[str, str] = {}
    values: defaultdict[tuple[str | None, str], list[tuple[str, float]]] = defaultdict(list)
    for row in sorted((row for row in responses if row.model is not None), key=lambda row: in_utc(row.time)):
        model = str(row.model)
        first.setdefault(model, row.time)
        for cohort in (None, row.cohort):
            values[cohort, model].append((row.prompt_id, float(row.failed)))
    sides = {key: _side(key[1], rows) for key, rows in values.items()}
    models, cohorts = list(first), tuple(dict.fromkeys(row.cohort for row in responses))
    found: list[Deployment] = []
    for place, model in enumerate(models[1:], start=1):
        enough = [name for name in models[:place] if sides[None, name].prompts >= LEAST]
        before, since = enough[-1] if enough else models[place - 1], window_start(first[model], "day")
        for cohort in (None, *cohorts) if len(cohorts) > 1 else (None,):
            keys = (cohort, before), (cohort, model)
            if keys[0] in sides and keys[1] in sides:
                p = p_of_rise(values[keys[0]], values[keys[1]])
                found.append(Deployment(cohort, since, sides[keys[0]], sides[keys[1]], p))
    corrected = holm([pair.p_value for pair in found])
    return tuple(replace(pair, p_holm=p) for pair, p in zip(found, corrected, strict=True))


def failing_rows(
    responses: Sequence[ProductionResponse],
    cohort: str | None = None,
    model: str | None = None,
    since: date | None = None,
) -> list[ProductionResponse]:
    """The responses that failed, the latest first.

    Args:
        since: the first day, in UTC.
    """
    kept = [
        row
        for row in responses
        if row.failed
        and cohort in (None, row.cohort)
        and model in (None, row.model)
        and (since is None or window_start(row.time, "day") >= since)
    ]
    return sorted(kept, key=lambda row: in_utc(row.time), reverse=True)


def _side(model: str, values: Sequence[tuple[str, float]]) -> Side:
    share = share_by_prompt(values)
    assert share is not None  # a model is known by its responses
    return Side(model, share, len({prompt for prompt, _ in values}))
