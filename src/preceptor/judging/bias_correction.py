"""Takes off a judge's log-odds what it prefers in excess of people: for length, Markdown, lists, tone, refusals.

With people's labels of pairs that a judge compared, an audit measures how many log-odds the judge adds for a unit of a
feature beyond those that people add (`preceptor.evaluation.judges.excess_bias`). For a comparison,

    logit p_a  becomes  logit p_a - Σ_k excess_k · (feature_k of a - feature_k of b),

and for the score of one response on a scale of two choices, the log-odds become

    log-odds - Σ_k excess_k · feature_k of the response,

where the excess was measured on the differences of these log-odds. A score on any other scale has no log-odds.
"""

from collections.abc import Sequence
from pathlib import Path

from pydantic import Field, JsonValue

from preceptor.core.errors import UsageError
from preceptor.core.hashing import content_hash
from preceptor.core.odds import log_odds, sigmoid
from preceptor.core.types import (
    Comparison,
    Frozen,
    Integer,
    JsonObject,
    JudgeFailure,
    Preference,
    Rater,
    Real,
    Response,
)
from preceptor.judging import saved
from preceptor.judging.ensemble import PreferenceJudge
from preceptor.judging.text_features import TextFeature, features_of
from preceptor.judging.trajectory import response_text
from preceptor.store.files import write_json

Excess = dict[TextFeature, Real]
"""Log-odds for a unit of each feature, as `preceptor.judging.text_features` defines them."""
_REMEDY = "give a file that `preceptor audit --save-bias` wrote"


class BiasCorrection(Frozen):
    """What is taken off a judge's log-odds. Features whose excess may be chance are not in it."""

    preference: Excess
    """For comparisons."""
    score: Excess | None = None
    """For scores; None unless the judge was audited with the variant `scored` and a scale of two choices."""
    judge: str
    """Identity of the judge's model."""
    constitution_hash: str
    settings: JsonObject = Field(default_factory=dict[str, JsonValue])
    """How the judge was asked, as in `Rater`."""
    prompts: Integer = Field(ge=1)
    """Number of prompts that people labelled."""

    @property
    def hash(self) -> str:
        """16 hex digits of its content hash, which name the correction."""
        return content_hash(self.model_dump(mode="json"))[:16]

    def check(self, rater: Rater) -> None:
        """Raises: UsageError when the correction was fitted on another judge than this one."""
        pairs = (
            ("model", self.judge, rater.model),
            ("constitution's hash", self.constitution_hash, rater.constitution_hash),
            ("settings", self.settings, rater.settings),
        )
        for name, ours, its in pairs:
            if ours != its:
                raise UsageError(
                    f"the bias correction was fitted on a judge whose {name} is {ours}, this one's is {its}; audit "
                    "this judge, asked in this way, on people's labels"
                )

    def of_scores(self) -> Excess:
        """What is taken off scores.

        Raises: UsageError when the correction is for comparisons alone.
        """
        if self.score is None:
            raise UsageError(
                "the bias correction is for comparisons and holds nothing for scores; audit the judge with the variant "
                "scored, by a constitution with two choices, or let the judge compare"
            )
        return self.score


def taken_off(excess: Excess, response: Response) -> float:
    """What is taken off the log-odds of a response."""
    features = features_of(response_text(response))
    return sum(each * features[name] for name, each in excess.items())


def corrected(correction: BiasCorrection, preference: Preference) -> Preference:
    """The preference with a new p_a. The presentations stay as the judge gave them, and `uncalibrated_p_a` keeps the
    old p_a. The probability of a tie stays, as far as the new p_a leaves room for it.
    """
    before, excess = preference.uncalibrated_p_a, correction.preference
    pair = preference.comparison
    moved = taken_off(excess, pair.a) - taken_off(excess, pair.b)
    p_a = round(sigmoid(log_odds(preference.p_a) - moved), 12) if moved else preference.p_a
    rater = preference.rater
    return preference.model_copy(
        update={
            "p_a": p_a,
            "p_tie": min(preference.p_tie, 2.0 * p_a, 2.0 * (1.0 - p_a)),
            "uncalibrated_p_a": preference.p_a if before is None else before,
            "rater": rater.model_copy(update={"settings": rater.settings | {"bias": correction.hash}}),
        }
    )


class BiasCorrectedJudge:
    """A judge off whose preferences its excess biases are taken.

    Raises: UsageError when the correction was fitted on another judge.
    """

    def __init__(self, judge: PreferenceJudge, correction: BiasCorrection) -> None:
        correction.check(judge.rater)
        self._judge = judge
        self._correction = correction
        self.members = tuple(judge.members)
        self.rater = judge.rater.model_copy(update={"settings": judge.rater.settings | {"bias": correction.hash}})

    def compare(self, comparisons: Sequence[Comparison]) -> list[Preference | JudgeFailure]:
        """A corrected preference or a failure for each comparison, in order."""
        return [
            p if isinstance(p, JudgeFailure) else corrected(self._correction, p)
            for p in self._judge.compare(comparisons)
        ]


def check_replaceable(path: Path) -> None:
    """Checks that `save` replaces only an older correction.

    Raises: UsageError when the path holds anything else.
    """
    saved.check_replaceable(path, load, "bias correction")


def save(correction: BiasCorrection, path: Path) -> None:
    """Writes a correction as JSON. Raises: PreceptorError when it cannot be written."""
    write_json(path, correction.model_dump(mode="json"))


def load(path: Path) -> BiasCorrection:
    """Reads a correction that `save` wrote. Raises: UsageError that says what is wrong with the file."""
    return saved.read_saved(BiasCorrection, path, "bias correction", _REMEDY)
