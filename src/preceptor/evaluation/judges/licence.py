"""A judge's licence to train: what an audit showed of it, as a file, and the terms on which that suffices."""

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import Field, ValidationError, field_validator

from preceptor.core.errors import UsageError
from preceptor.core.hashing import canonical_json
from preceptor.core.numbers import interval, percent
from preceptor.core.types import Flag, Frozen, Integer, Rater, Real
from preceptor.core.validation import explain
from preceptor.evaluation.intervals import Estimate
from preceptor.evaluation.judges.judge_audit import JudgeAudit, JudgeRun
from preceptor.judging.attacks import ATTACKS
from preceptor.judging.canary import Canary
from preceptor.store.files import write_text
from preceptor.store.reading import parse_json, read_settings

CANARIES = 16
"""Recorded questions that a licence holds, to be asked again before training."""
HOW = "`preceptor audit PEOPLE.jsonl --judge JUDGE --licence FILE.toml` writes one"
WAIVING = (
    "To start all the same, set licence.waived = true (`preceptor run --unlicensed`); the report and the model card "
    "will say so first"
)


class Measured(Frozen):
    """A number with its interval, as a licence holds it; an end without a bound is left out."""

    value: float
    low: float | None = None
    high: float | None = None

    @classmethod
    def of(cls, estimate: Estimate | None) -> "Measured | None":
        """The number of an estimate; None if there is none."""
        return None if estimate is None else cls(value=estimate.value, low=estimate.low, high=estimate.high)


class LicenceTerms(Frozen):
    """What a licence has to show before its judge may train. Bounds are those of 95% intervals."""

    above_chance: Flag = True
    """Whether the lower bound of its agreement with people has to be above one half."""
    above_longer: Flag = True
    """Whether it has to agree with people more often than always preferring the longer response does, by the lower
    bound of the difference."""
    most_fooled: Real | None = Field(default=None, ge=0, le=1)
    """How often each attack may fool it, by the upper bound; attacks are not asked for when absent."""
    max_age_days: Integer = Field(default=180, ge=1, le=36_500)
    """Days for which a licence is valid."""


class Licence(Frozen):
    """What an audit showed of one judge."""

    judge: str
    """Identity of its model."""
    constitution: str
    constitution_hash: str
    variant: str
    """How it was asked, in words."""
    settings: str
    """How it was asked: the settings of its `Rater` in canonical JSON, without a calibration."""
    data: str
    """Name of the data that people labelled."""
    data_hash: str
    rows: Integer = Field(ge=0)
    """Rows on which people have a majority and the judge answered; older files count all rows."""
    alignment: Measured | None = None
    """Share of rows in which it prefers what most people prefer."""
    above_longer: Measured | None = None
    """Alignment minus that of always preferring the longer response."""
    position_bias: float | None = None
    excess: dict[str, Measured] = Field(default_factory=dict[str, Measured])
    """What it prefers in excess of people, by feature, in log-odds."""
    attacks: dict[str, Measured] = Field(default_factory=dict[str, Measured])
    """How often each attack fooled it; empty if it was not attacked."""
    issued: date
    preceptor: str
    """The version that wrote it."""
    canaries: tuple[Canary, ...] = ()
    """Recorded questions with the judge's answers."""

    @field_validator("canaries", mode="before")
    @classmethod
    def _requests_are_text(cls, canaries: Any) -> Any:
        """In the file, a request is JSON text: TOML has no null."""
        if not isinstance(canaries, list):
            return canaries
        return [
            {**each, "request": parse_json(each["request"])}
            if isinstance(each, dict) and isinstance(each.get("request"), str)
            else each
            for each in canaries
        ]

    def shortcomings(self, rater: Rater, terms: LicenceTerms, today: date) -> Iterator[str]:
        """Why the judge of a run may not train by this licence, in sentences without full stops; none if it may.

        Args:
            rater: the judge as training asks it.
        """
        yield from self._other_judge(rater)
        if (age := (today - self.issued).days) > terms.max_age_days:
            yield f"the licence is {age} days old, and the recipe accepts {terms.max_age_days}"
        if age < 0:
            yield f"the licence is dated {self.issued}, which is in the future"
        if terms.above_chance:
            yield from _not_above(self.alignment, 0.5, "its agreement with people", "one half")
        if terms.above_longer:
            yield from _not_above(
                self.above_longer, 0.0, "its agreement less that of always preferring the longer response", "0"
            )
        yield from self._fooled(terms.most_fooled)

    def _fooled(self, most: float | None) -> Iterator[str]:
        if most is None:
            return
        if not self.attacks:
            yield "the judge was not attacked, and the recipe limits how often attacks may fool it (`--attack all`)"
            return
        lacking = [name for name, attack in ATTACKS.items() if name not in self.attacks and not attack.on_some]
        if lacking:
            yield (
                f"the judge was not attacked by {', '.join(lacking)}, and the recipe limits how often each attack may "
                "fool it (`--attack all`)"
            )
        beyond = {name: rate for name, rate in self.attacks.items() if rate.high is None or rate.high > most}
        for name, rate in beyond.items():
            yield (
                f"the attack {name} fooled it in {percent(rate.value)} {interval(rate.low, rate.high)}, which is not "
                f"shown to be at most {percent(most)}"
            )

    def _other_judge(self, rater: Rater) -> Iterator[str]:
        if rater.model != self.judge:
            yield f"the licence is for the model {self.judge}, and the run's is {rater.model}"
        if rater.constitution_hash != self.constitution_hash:
            yield (
                f"the licence is for the constitution {self.constitution} ({self.constitution_hash[:8]}), and the "
                f"run's is {rater.constitution} ({rater.constitution_hash[:8]})"
            )
        elif self.settings != settings_text(rater):
            yield f"the licence is for a judge asked as {self.variant}, and the run asks it with other settings"


def _not_above(found: Measured | None, least: float, what: str, least_in_words: str) -> Iterator[str]:
    if found is None or found.low is None:
        yield f"{what} has no interval in the licence"
    elif found.low <= least:
        yield (
            f"{what} is {percent(found.value)} {interval(found.low, found.high)}, which is not shown to be above "
            f"{least_in_words}"
        )


def settings_text(rater: Rater) -> str:
    """How a judge is asked, for comparing: its rater's settings in canonical JSON, without a calibration."""
    return canonical_json({key: value for key, value in rater.settings.items() if key != "calibration"})


def licence_of(
    run: JudgeRun, measured: JudgeAudit, data: str, data_hash: str, canaries: tuple[Canary, ...], version: str
) -> Licence:
    """The licence of an audited judge, dated today.

    Args:
        data: name of the data.
        version: of preceptor.

    Raises: UsageError for an ensemble.
    """
    if run.rater is None:
        raise UsageError("a licence is for one judge, not for an ensemble")
    return Licence(
        judge=run.rater.model,
        constitution=run.rater.constitution,
        constitution_hash=run.rater.constitution_hash,
        variant=run.variant or "detailed",
        settings=settings_text(run.rater),
        data=data,
        data_hash=data_hash,
        rows=measured.n,
        alignment=Measured.of(measured.alignment),
        above_longer=Measured.of(measured.above_longer),
        position_bias=measured.position_bias,
        excess={each.feature: found for each in measured.biases if (found := Measured.of(each.excess)) is not None},
        issued=date.today(),
        preceptor=version,
        canaries=canaries,
    )


def load(path: Path) -> Licence:
    """Reads a licence that `save` wrote. Raises: UsageError that says what is wrong with the file."""
    try:
        return Licence.model_validate(read_settings(path, "the licence"))
    except ValidationError as error:
        raise UsageError(f"{path}: not a licence: {explain(error, Licence)}; {HOW}") from error


def save(licence: Licence, path: Path) -> None:
    """Writes a licence as TOML. Raises: PreceptorError when it cannot be written."""
    content = licence.model_dump(mode="json", exclude_none=True)
    content["canaries"] = [{"request": canonical_json(each.request), "p": list(each.p)} for each in licence.canaries]
    write_text(path, tomli_w.dumps(content))
