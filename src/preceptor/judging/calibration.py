"""Calibration of a judge on people's labels: a scale for its log-odds, and a correction of its position bias.

The model applies to presentations rather than to preferences, because a position affects a presentation:

    logit P(people prefer the response shown first) = slope · (logit p_first - position_bias)

`temperature` fits the slope alone (Guo et al. 2017, arXiv 1706.04599, section 4.2; the slope is 1 / T). `platt` fits
both (Platt 1999). Probabilities are clipped as in `preceptor.judging.combine`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

from pydantic import Field, JsonValue

from preceptor.core.errors import UsageError
from preceptor.core.hashing import content_hash, unit_hash
from preceptor.core.odds import log_odds, sigmoid
from preceptor.core.types import Frozen, HumanLabel, Integer, JsonObject, Preference, Presentation, Rater, Real
from preceptor.judging import saved
from preceptor.judging.combine import Combine, combine
from preceptor.store.files import write_json

if TYPE_CHECKING:
    import numpy as np

Method: TypeAlias = Literal["temperature", "platt"]

MIN_LABELS = 20
"""With fewer labels, the calibration would fit noise."""
RIDGE = 0.05
"""Penalty on (slope - 1)² and (slope · position_bias)², in nats over the whole data set: a normal prior with standard
deviation 3.2 around "no change". It keeps the fit of separable data finite, and changes other fits with 100 labels by
less than 1%."""
_FLAT = 1e-6  # a slope below this becomes 0: the judge's log-odds carry no information


class Calibration(Frozen):
    """A correction of a judge's log-odds, learned from people's labels."""

    method: Method
    slope: Real = Field(ge=0, le=1e6)
    """Below 1, the judge is overconfident. 0 if its opinion is useless, or opposite to people's."""
    position_bias: Annotated[Real, Field(ge=-1e6, le=1e6)]
    """Log-odds, in nats, that the judge adds to the response shown first; 0 for `temperature`."""
    judge: str
    """Identity of the judge's model."""
    constitution_hash: str
    settings: JsonObject = Field(default_factory=dict[str, JsonValue])
    """How the judge was asked, as in `Rater`."""
    n: Integer = Field(ge=1)
    """Number of labels it was fitted on."""
    nll_before: float
    """Cross-entropy to people's labels in nats per label, mean over presentations, before calibration."""
    nll_after: float
    """The same after calibration, on the labels it was fitted on."""

    @property
    def hash(self) -> str:
        """16 hex digits of its content hash, which name the calibration."""
        return content_hash(self.model_dump(mode="json"))[:16]

    def check(self, rater: Rater) -> None:
        """Raises: UsageError when the calibration was fitted on another judge than this one."""
        pairs = (
            ("model", self.judge, rater.model),
            ("constitution's hash", self.constitution_hash, rater.constitution_hash),
            ("settings", self.settings, _settings(rater)),
        )
        for name, ours, its in pairs:
            if ours != its:
                raise UsageError(
                    f"the calibration was fitted on a judge whose {name} is {ours}, this one's is {its}; "
                    "fit one on this judge's own labels"
                )

    def correct(self, presentation: Presentation) -> float:
        """Calibrated probability of response a in one presentation."""
        sign = 1.0 if presentation.order == "ab" else -1.0
        return sigmoid(sign * self.slope * (sign * log_odds(presentation.p_a) - self.position_bias))


def fit(pairs: Sequence[tuple[Preference, HumanLabel]], method: Method) -> Calibration:
    """Fits by maximum likelihood with a slight ridge penalty (`RIDGE`). Every label has the same weight, however many
    presentations it has.

    Raises: UsageError for fewer than `MIN_LABELS` labels, for labels of several judges, and for ensembles.
    """
    if len(pairs) < MIN_LABELS:
        raise UsageError(f"calibration needs at least {MIN_LABELS} pairs with people's labels, got {len(pairs)}")
    _check_one_judge([preference for preference, _ in pairs])
    return _fit(pairs, method)


def apply(calibration: Calibration, preference: Preference, how: Combine = "mean") -> Preference:
    """The preference with a new p_a, combined from its corrected presentations.

    The presentations and p_tie stay as the judge gave them; `uncalibrated_p_a` keeps the old p_a, and the rater's
    settings name the calibration. Applying another calibration later replaces this one.
    Raises: UsageError when the calibration was fitted on another judge, or the preference is an ensemble's.
    """
    _refuse_ensemble(preference)
    calibration.check(preference.rater)
    rater, before = preference.rater, preference.uncalibrated_p_a
    return preference.model_copy(
        update={
            "p_a": combine([calibration.correct(presentation) for presentation in preference.presentations], how),
            "uncalibrated_p_a": preference.p_a if before is None else before,
            "rater": rater.model_copy(update={"settings": rater.settings | {"calibration": calibration.hash}}),
        }
    )


def cross_validated(
    pairs: Sequence[tuple[Preference, HumanLabel]],
    method: Method,
    folds: int = 5,
    seed: int = 0,
    how: Combine = "mean",
) -> list[Preference]:
    """Every preference, in order, under a calibration fitted on other prompts' labels; shows what calibration gains.

    Prompts are dealt to folds in the order of a hash of seed and prompt id, so comparisons of one prompt stay together
    and no fold is empty; with fewer prompts than `folds`, each prompt is a fold.
    Raises: UsageError as `fit` does, and when all pairs have the same prompt.
    """
    if len(pairs) < MIN_LABELS:
        raise UsageError(f"calibration needs at least {MIN_LABELS} pairs with people's labels, got {len(pairs)}")
    _check_one_judge([preference for preference, _ in pairs])
    prompts = {preference.comparison.prompt.id for preference, _ in pairs}
    if len(prompts) < 2 or folds < 2:
        raise UsageError(f"cross-validation needs two prompts and two folds, got {len(prompts)} and {folds}")
    dealt = sorted(prompts, key=lambda prompt: (unit_hash("calibration", seed, prompt), prompt))
    fold_of = {prompt: i % folds for i, prompt in enumerate(dealt)}
    calibrations = {
        fold: _fit([pair for pair in pairs if fold_of[pair[0].comparison.prompt.id] != fold], method)
        for fold in set(fold_of.values())
    }
    return [apply(calibrations[fold_of[p.comparison.prompt.id]], p, how) for p, _ in pairs]


def check_replaceable(path: Path) -> None:
    """Checks that `save` replaces only an older calibration.

    Raises: UsageError when the path holds anything else.
    """
    saved.check_replaceable(path, load, "calibration")


_REMEDY = "give a file that `preceptor audit --save-calibration` wrote"


def save(calibration: Calibration, path: Path) -> None:
    """Writes a calibration as JSON. Raises: PreceptorError when it cannot be written."""
    write_json(path, calibration.model_dump(mode="json"))


def load(path: Path) -> Calibration:
    """Reads a calibration that `save` wrote. Raises: UsageError that says what is wrong with the file."""
    return saved.read_saved(Calibration, path, "calibration", _REMEDY)


@dataclass(frozen=True)
class _Data:
    """One entry per presentation."""

    logits: "np.ndarray"
    """The judge's log-odds of the response shown first."""
    targets: "np.ndarray"
    """Share of people who prefer that response."""
    weights: "np.ndarray"
    """Weights; those of a label's presentations sum to 1."""


def _fit(pairs: Sequence[tuple[Preference, HumanLabel]], method: Method) -> Calibration:
    """Fits slope and offset = slope · position_bias, in which the problem is convex."""
    import numpy as np
    from scipy.optimize import minimize

    data = _data(pairs)
    bounds = [(0.0, None), (None, None) if method == "platt" else (0.0, 0.0)]
    optimum = minimize(_objective, np.array([1.0, 0.0]), args=(data,), jac=True, method="L-BFGS-B", bounds=bounds)
    slope, offset = float(optimum.x[0]), float(optimum.x[1])
    if slope < _FLAT:
        slope, offset = 0.0, 0.0
    rater = pairs[0][0].rater
    return Calibration(
        method=method,
        slope=slope,
        position_bias=offset / slope if slope else 0.0,
        judge=rater.model,
        constitution_hash=rater.constitution_hash,
        settings=_settings(rater),
        n=len(pairs),
        nll_before=_nll(1.0, 0.0, data) / len(pairs),
        nll_after=_nll(slope, offset, data) / len(pairs),
    )


def _data(pairs: Sequence[tuple[Preference, HumanLabel]]) -> _Data:
    import numpy as np

    rows = [
        (
            log_odds(presentation.p_a),
            label.p_a,
            1.0 if presentation.order == "ab" else -1.0,
            1.0 / len(preference.presentations),
        )
        for preference, label in pairs
        for presentation in preference.presentations
    ]
    logits_a, targets_a, signs, weights = np.array(rows).T
    return _Data(logits_a * signs, np.where(signs > 0, targets_a, 1.0 - targets_a), weights)


def _nll(slope: float, offset: float, data: _Data) -> float:
    """Cross-entropy in nats, summed over labels: log(1 + eᶻ) - target · z."""
    import numpy as np

    z = slope * data.logits - offset
    return float(np.sum(data.weights * (np.logaddexp(0.0, z) - data.targets * z)))


def _objective(x: "np.ndarray", data: _Data) -> "tuple[float, np.ndarray]":
    import numpy as np
    from scipy.special import expit

    slope, offset = float(x[0]), float(x[1])
    value = _nll(slope, offset, data) + RIDGE * ((slope - 1.0) ** 2 + offset**2)
    residuals = data.weights * (expit(slope * data.logits - offset) - data.targets)
    gradient = np.array([np.sum(residuals * data.logits), -np.sum(residuals)])
    return value, gradient + 2.0 * RIDGE * np.array([slope - 1.0, offset])


def _settings(rater: Rater) -> JsonObject:
    """How the judge was asked, without any calibration that it already has."""
    return {key: value for key, value in rater.settings.items() if key != "calibration"}


def _check_one_judge(preferences: Sequence[Preference]) -> None:
    for preference in preferences:
        _refuse_ensemble(preference)
    first = preferences[0].rater
    for rater in (preference.rater for preference in preferences):
        if (rater.model, rater.constitution_hash) != (first.model, first.constitution_hash) or (
            _settings(rater) != _settings(first)
        ):
            raise UsageError(
                f'a calibration belongs to one judge; these labels are by "{first.model}" ({first.constitution}, '
                f'{_settings(first)}) and by "{rater.model}" ({rater.constitution}, {_settings(rater)})'
            )


def _refuse_ensemble(preference: Preference) -> None:
    if preference.members:
        raise UsageError("an ensemble has no calibration of its own; calibrate its judges before they are combined")
