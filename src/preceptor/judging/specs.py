"""Specifications of judges on the command line or in a file: a model, a constitution and a way of asking."""

from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError, model_validator

from preceptor.backends.base import LanguageModel
from preceptor.backends.names import check_name
from preceptor.core.errors import UsageError
from preceptor.core.settings import Settings
from preceptor.core.types import Frozen, NonEmpty, Weight
from preceptor.core.validation import explain
from preceptor.judging import calibration
from preceptor.judging.constitution import load_constitution
from preceptor.judging.ensemble import CalibratedJudge, EnsembleJudge, PreferenceJudge
from preceptor.judging.pairwise import PairwiseJudge
from preceptor.judging.scored import ScoredPairJudge, check_scoring
from preceptor.judging.settings import PairwiseSettings, variant
from preceptor.store.ledger import Ledger
from preceptor.store.reading import read_settings


class JudgeSpec(Settings):
    """One judge of comparisons."""

    model: NonEmpty = "embedded"
    """A model string."""
    constitution: NonEmpty = "helpful"
    """Name of a shipped constitution, or path of a .toml file."""
    variant: NonEmpty | None = None
    """Short name of a way of asking, such as `detailed+cot`; see `preceptor.judging.settings.variant`."""
    settings: PairwiseSettings | None = None
    """All settings of the way of asking, in place of a variant."""
    weight: Weight = 1.0
    """Weight in an ensemble."""
    calibration: NonEmpty | None = None
    """A file that `preceptor audit --save-calibration` wrote for this judge."""

    @model_validator(mode="after")
    def _one_way_of_asking(self) -> "JudgeSpec":
        if self.variant is not None and self.settings is not None:
            raise ValueError("give either a variant or settings, not both")
        return self

    @property
    def way(self) -> str:
        """The way of asking in a word or two."""
        if self.settings is not None and self.settings.shown == "alone":
            return "scored"
        return self.variant or ("detailed" if self.settings is None else "settings")

    def resolved(self) -> PairwiseSettings:
        """The way of asking.

        Raises: UsageError for an unknown variant.
        """
        return variant(self.variant) if self.variant else self.settings or PairwiseSettings()


class JudgesFile(Frozen):
    """A file of judges: `[[judges]]` tables."""

    judges: Annotated[tuple[JudgeSpec, ...], Field(min_length=1)]


def read_judges(path: Path) -> tuple[JudgeSpec, ...]:
    """The judges of a TOML file.

    Raises: UsageError naming the file, the key and what was expected.
    """
    try:
        return JudgesFile.model_validate(read_settings(path, "the judges")).judges
    except ValidationError as error:
        raise UsageError(f"{path}: {explain(error, JudgesFile)}") from error


def every_judge(
    models: Sequence[str], constitutions: Sequence[str], variants: Sequence[str], calibrations: Sequence[str]
) -> tuple[JudgeSpec, ...]:
    """Every combination of models, constitutions and variants, with one calibration for each or none at all.

    Raises: UsageError when the number of calibrations differs from that of judges.
    """
    combinations = list(product(models, constitutions, variants))
    if calibrations and len(calibrations) != len(combinations):
        raise UsageError(f"{len(calibrations)} calibrations for {len(combinations)} judges; give one for each, or none")
    files = calibrations or [None] * len(combinations)
    return tuple(
        JudgeSpec(model=m, constitution=c, variant=v, calibration=f)
        for (m, c, v), f in zip(combinations, files, strict=True)
    )


def check_judges(specs: Sequence[JudgeSpec]) -> None:
    """Checks names and files without opening a model.

    Raises: UsageError naming what is wrong.
    """
    for spec in specs:
        check_name(spec.model)
        constitution, settings = load_constitution(spec.constitution), spec.resolved()
        if settings.shown == "alone":
            check_scoring(constitution, settings)
        if spec.calibration:
            calibration.load(Path(spec.calibration))


def make_judge(spec: JudgeSpec, model: LanguageModel, ledger: Ledger) -> PreferenceJudge:
    """The judge of a specification, on an open model.

    Raises: UsageError when the exemplars do not fit, or the calibration belongs to another judge.
    """
    settings = spec.resolved()
    kind = PairwiseJudge if settings.shown == "together" else ScoredPairJudge
    judge = kind(model, load_constitution(spec.constitution), settings, ledger)
    if spec.calibration is None:
        return judge
    fitted = calibration.load(Path(spec.calibration))
    fitted.check(judge.rater)
    return CalibratedJudge(judge, fitted)


def build_judge(specs: Sequence[JudgeSpec], models: Mapping[str, LanguageModel], ledger: Ledger) -> PreferenceJudge:
    """One judge, or the ensemble of several, on open models.

    Raises: UsageError; see `make_judge`.
    """
    judges = [make_judge(spec, models[spec.model], ledger) for spec in specs]
    return judges[0] if len(judges) == 1 else EnsembleJudge(judges, [spec.weight for spec in specs])


def check_prices(budget: float | None, models: Sequence[LanguageModel]) -> None:
    """Raises: UsageError if there is a budget and the price of a model is unknown."""
    for model in models:
        if budget is not None and model.price is None:
            raise UsageError(
                f"a budget needs prices, and the price of {model.identity} is not known: give a file of prices "
                "(--prices FILE, or Connection(prices=FILE))"
            )
