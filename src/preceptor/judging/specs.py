"""Specifications of judges on the command line or in a file: a model, a constitution and a way of asking."""

from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError

from preceptor.backends.base import LanguageModel
from preceptor.backends.names import check_name
from preceptor.core.errors import UsageError
from preceptor.core.types import Frozen
from preceptor.core.validation import explain
from preceptor.judging import bias_correction, calibration, cascade
from preceptor.judging.bias_correction import BiasCorrectedJudge
from preceptor.judging.constitution import Constitution, load_constitution
from preceptor.judging.ensemble import CalibratedJudge, EnsembleJudge, PreferenceJudge
from preceptor.judging.judge_spec import JudgeSpec, own_way
from preceptor.judging.pairwise import PairwiseJudge
from preceptor.judging.rubrics.pairs import RubricPairJudge
from preceptor.judging.scored import ScoredPairJudge, check_scoring
from preceptor.judging.settings import PairwiseSettings
from preceptor.store.ledger import Ledger
from preceptor.store.reading import read_settings


class JudgesFile(Frozen):
    """A file of judges: `[[judges]]` tables."""

    judges: Annotated[tuple[JudgeSpec, ...], Field(min_length=1)]


def read_judges(path: Path) -> tuple[JudgeSpec, ...]:
    """The judges of a TOML file, or a cascade, which is one judge.

    Raises: UsageError naming the file, the key and what was expected.
    """
    if path.suffix == ".json":
        return (cascade.load(path).first.model_copy(update={"calibration": None, "bias": None, "cascade": str(path)}),)
    try:
        return JudgesFile.model_validate(read_settings(path, "the judges")).judges
    except ValidationError as error:
        raise UsageError(f"{path}: {explain(error, JudgesFile)}") from error


def every_judge(
    models: Sequence[str],
    constitutions: Sequence[str],
    variants: Sequence[str],
    calibrations: Sequence[str] = (),
    corrections: Sequence[str] = (),
) -> tuple[JudgeSpec, ...]:
    """Every combination of models, constitutions and variants, with one calibration and one bias correction for each or
    none at all.

    Args:
        variants: none for each constitution's own.

    Raises: UsageError when the number of calibrations or of bias corrections differs from that of judges.
    """
    combinations = [(m, c, v) for m, c in product(models, constitutions) for v in variants or [own_way(c)]]
    files = [
        _one_for_each(listed, len(combinations), what)
        for listed, what in ((calibrations, "calibrations"), (corrections, "bias corrections"))
    ]
    return tuple(
        JudgeSpec(model=m, constitution=c, variant=v, calibration=calibration, bias=bias)
        for (m, c, v), calibration, bias in zip(combinations, *files, strict=True)
    )


def _one_for_each(files: Sequence[str], judges: int, what: str) -> Sequence[str | None]:
    if files and len(files) != judges:
        raise UsageError(f"{len(files)} {what} for {judges} judges; give one for each, or none")
    return files or [None] * judges


def check_judges(specs: Sequence[JudgeSpec]) -> None:
    """Checks names and files without opening a model.

    Raises: UsageError naming what is wrong.
    """
    for spec in specs:
        check_name(spec.model)
        constitution, settings = load_constitution(spec.constitution), spec.resolved()
        if settings.shown == "alone":
            check_scoring(constitution, settings)
        elif constitution.score.claims and settings.shown == "together":
            raise UsageError(
                f'the constitution "{constitution.name}" judges the claims of one response at a time, so two are '
                f"compared by their scores; use the variant scored, not {spec.way}"
            )
        if spec.calibration:
            _check_soft(settings, "calibrate", "calibration")
            calibration.load(Path(spec.calibration))
        if spec.bias:
            _check_soft(settings, "correct", "bias correction")
            bias_correction.load(Path(spec.bias))
        if spec.cascade:
            check_judges([step.judge for step in cascade.load(Path(spec.cascade)).steps])


def _check_soft(settings: PairwiseSettings, verb: str, what: str) -> None:
    """Raises: UsageError for a judge that votes, which has no probability to calibrate or correct."""
    if settings.vote:
        raise UsageError(f"a judge that votes has no probability to {verb}; leave out vote, or the {what}")


def check_single(specs: Sequence[JudgeSpec], what: str) -> None:
    """Raises: UsageError if one of the judges is a cascade, which `what` does not take."""
    for spec in specs:
        if spec.cascade is not None:
            raise UsageError(f"{spec.cascade}: {what} takes single judges and no cascade; name its judges one by one")


def single_judges(specs: Sequence[JudgeSpec]) -> list[JudgeSpec]:
    """The judges, each cascade replaced by its own judges.

    Raises: UsageError when the file of a cascade cannot be read.
    """
    single: list[JudgeSpec] = []
    for spec in specs:
        steps = cascade.load(Path(spec.cascade)).steps[1:] if spec.cascade else ()
        single += [spec.model_copy(update={"cascade": None}), *(step.judge for step in steps)]
    return single


def model_names(specs: Sequence[JudgeSpec]) -> list[str]:
    """The model strings of all judges, those of cascades included, each once.

    Raises: UsageError when the file of a cascade cannot be read.
    """
    return list(dict.fromkeys(spec.model for spec in single_judges(specs)))


def shown_constitutions(specs: Sequence[JudgeSpec]) -> list[Constitution]:
    """The constitutions that the judges are shown, those of cascades included, each once. A judge that goes by the
    rubrics of prompts is shown none.

    Raises: UsageError when the file of a cascade or of a constitution cannot be read.
    """
    shown = [spec.constitution for spec in single_judges(specs) if not spec.goes_by_rubrics]
    return [load_constitution(name) for name in dict.fromkeys(shown)]


def make_judge(spec: JudgeSpec, model: LanguageModel, ledger: Ledger) -> PreferenceJudge:
    """The judge of a specification, on an open model.

    Raises: UsageError when the exemplars do not fit, the calibration or the bias correction belongs to another judge,
        or it is a cascade.
    """
    check_single([spec], "this work")
    member = _member(spec, spec.resolved(), model, ledger)
    judge: PreferenceJudge = member
    if spec.calibration is not None:
        fitted = calibration.load(Path(spec.calibration))
        fitted.check(member.rater)
        judge = CalibratedJudge(member, fitted)
    return judge if spec.bias is None else BiasCorrectedJudge(judge, bias_correction.load(Path(spec.bias)))


def _member(
    spec: JudgeSpec, settings: PairwiseSettings, model: LanguageModel, ledger: Ledger
) -> PairwiseJudge | ScoredPairJudge | RubricPairJudge:
    if settings.shown == "rubric":
        return RubricPairJudge(model, settings, ledger)
    kind = PairwiseJudge if settings.shown == "together" else ScoredPairJudge
    return kind(model, load_constitution(spec.constitution), settings, ledger)


def build_judge(specs: Sequence[JudgeSpec], models: Mapping[str, LanguageModel], ledger: Ledger) -> PreferenceJudge:
    """One judge, or the ensemble of several, on open models.

    Args:
        models: those of `model_names`.

    Raises: UsageError; see `make_judge`.
    """
    judges = [
        _make_cascade(spec, models, ledger) if spec.cascade else make_judge(spec, models[spec.model], ledger)
        for spec in specs
    ]
    return judges[0] if len(judges) == 1 else EnsembleJudge(judges, [spec.weight for spec in specs])


def _make_cascade(spec: JudgeSpec, models: Mapping[str, LanguageModel], ledger: Ledger) -> PreferenceJudge:
    assert spec.cascade is not None
    loaded = cascade.load(Path(spec.cascade))
    first, *others = (step.judge for step in loaded.steps)
    own = spec.model_copy(update={"cascade": None, "weight": 1.0, "calibration": first.calibration, "bias": first.bias})
    return cascade.CascadeJudge([make_judge(each, models[each.model], ledger) for each in (own, *others)], loaded)


def check_prices(budget: float | None, models: Sequence[LanguageModel]) -> None:
    """Raises: UsageError if there is a budget and the price of a model is unknown."""
    for model in models:
        if budget is not None and model.price is None:
            raise UsageError(
                f"a budget needs prices, and the price of {model.identity} is not known: give a file of prices "
                "(--prices FILE, or Connection(prices=FILE))"
            )
