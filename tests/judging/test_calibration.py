"""Calibration: what it learns is what was put in, and raw judgements stay as they were."""

import math
import random
from pathlib import Path
from typing import Literal

import pytest

from preceptor.core.errors import UsageError
from preceptor.core.odds import log_odds, sigmoid
from preceptor.core.types import Comparison, HumanLabel, Message, Preference, Presentation, Prompt, Rater, Response
from preceptor.core.types import Verdict as Answer
from preceptor.judging.calibration import Calibration, apply, cross_validated, fit, load, save
from preceptor.judging.combine import combine

RATER = Rater(model="m", constitution="c 1", constitution_hash="h", settings={"order": "both"})


def preference(name: str, p_ab: float, p_ba: float | None = None, rater: Rater = RATER) -> Preference:
    """p_ab, p_ba: p_a with a first, and with b first."""
    comparison = Comparison(
        id=name,
        prompt=Prompt(id=f"prompt {name}", conversation=(Message(role="user", content="q"),)),
        a=Response(prompt_id=f"prompt {name}", text="A"),
        b=Response(prompt_id=f"prompt {name}", text="B"),
    )
    given: list[tuple[Literal["ab", "ba"], float]] = [("ab", p_ab)]
    if p_ba is not None:
        given.append(("ba", p_ba))
    shown = tuple(
        Presentation(order=order, p_a=p, verdict=Answer(probabilities={"1": p, "2": 1 - p}, choice_mass=1))
        for order, p in given
    )
    return Preference(
        comparison=comparison, p_a=combine([s.p_a for s in shown], "mean"), rater=rater, presentations=shown
    )


def people(n: int, slope: float, bias: float) -> list[tuple[Preference, HumanLabel]]:
    """A judge with log-odds z ± bias on pairs of which people prefer a with log-odds slope · z."""
    rng = random.Random(0)
    strengths = [rng.gauss(0, 2) for _ in range(n)]
    return [
        (preference(f"{i}", sigmoid(z + bias), sigmoid(z - bias)), HumanLabel(p_a=sigmoid(slope * z)))
        for i, z in enumerate(strengths)
    ]


def test_combining_by_hand() -> None:
    assert combine([0.9, 0.5], "mean") == 0.7
    # odds 9 and 1: the geometric mean is 3, so the probability is 3 / 4
    assert combine([0.9, 0.5], "log_odds") == pytest.approx(0.75)
    assert combine([0.9, 1 - 0.9], "mean") == combine([0.9, 1 - 0.9], "log_odds") == 0.5
    assert 0.999 < combine([1.0, 1.0], "log_odds") < 1
    assert log_odds(0.75) == pytest.approx(math.log(3))
    with pytest.raises(ValueError, match="no presentation"):
        combine([], "mean")


def test_slope_and_position_bias_are_found_again() -> None:
    found = fit(people(400, slope=0.5, bias=1.2), "platt")
    assert found.slope == pytest.approx(0.5, abs=0.01)
    assert found.position_bias == pytest.approx(1.2, abs=0.02)
    assert found.nll_after < found.nll_before
    assert (found.n, found.judge, found.constitution_hash) == (400, "m", "h")


def test_temperature_has_a_slope_alone() -> None:
    found = fit(people(400, slope=0.5, bias=0.0), "temperature")
    assert found.slope == pytest.approx(0.5, abs=0.01)
    assert found.position_bias == 0


def test_separable_labels_have_a_finite_slope_and_opposite_ones_a_slope_of_0() -> None:
    right = [(preference(f"{i}", 0.9 if i % 2 else 0.1), HumanLabel(p_a=i % 2)) for i in range(40)]
    assert 1 < fit(right, "platt").slope < 20
    wrong = [(p, HumanLabel(p_a=1 - label.p_a)) for p, label in right]
    found = fit(wrong, "platt")
    assert (found.slope, found.position_bias) == (0, 0)
    assert apply(found, wrong[0][0]).p_a == 0.5


def test_applying_by_hand() -> None:
    calibration = Calibration(
        method="platt", slope=0.5, position_bias=math.log(4), judge="m", constitution_hash="h",
        settings={"order": "both"}, n=20, nll_before=1, nll_after=0.5,
    )  # fmt: skip
    # a first: odds of a 36 / 4 = 9, root 3, p = 3/4. b first: odds of b 4 / 4 = 1, p = 1/2.
    judged = preference("x", 36 / 37, 1 / 5)
    result = apply(calibration, judged)
    assert result.p_a == pytest.approx((3 / 4 + 1 / 2) / 2)
    assert result.uncalibrated_p_a == judged.p_a
    assert result.presentations == judged.presentations
    assert result.rater.settings == {"order": "both", "calibration": calibration.hash}
    # odds 3 and 1: their geometric mean
    assert apply(calibration, judged, "log_odds").p_a == pytest.approx(math.sqrt(3) / (1 + math.sqrt(3)))
    again = apply(calibration, result)
    assert (again.p_a, again.uncalibrated_p_a) == (result.p_a, judged.p_a)


def test_what_cannot_be_calibrated_is_refused_with_a_reason() -> None:
    pairs = people(25, 1.0, 0.0)
    with pytest.raises(UsageError, match="at least 20 pairs with people's labels, got 19"):
        fit(pairs[:19], "platt")
    other = RATER.model_copy(update={"model": "other"})
    with pytest.raises(UsageError, match=r'by "m" .* and by "other"'):
        fit([*pairs, (preference("o", 0.5, rater=other), HumanLabel(p_a=1))], "platt")
    with pytest.raises(UsageError, match="whose model is m, this one's is other"):
        apply(fit(pairs, "platt"), preference("o", 0.5, rater=other))
    ensemble = pairs[0][0].model_copy(update={"members": (pairs[0][0],)})
    with pytest.raises(UsageError, match="ensemble"):
        fit([*pairs, (ensemble, HumanLabel(p_a=1))], "platt")


def test_out_of_fold_preferences_keep_their_order_and_never_saw_their_own_prompt() -> None:
    pairs = people(60, slope=0.5, bias=1.0)
    result = cross_validated(pairs, "platt")
    assert [p.comparison.id for p in result] == [p.comparison.id for p, _ in pairs]
    assert len({str(p.rater.settings["calibration"]) for p in result}) == 5
    changed = [(p, HumanLabel(p_a=0)) if p.comparison.id == "7" else (p, label) for p, label in pairs]
    assert cross_validated(changed, "platt")[7].p_a == result[7].p_a
    assert cross_validated(pairs, "platt", seed=1) != result


def test_few_prompts_make_few_folds() -> None:
    pairs = people(30, slope=1.0, bias=0.0)
    prompts = [pairs[i][0].comparison.prompt for i in range(2)]

    def moved(p: Preference, prompt: Prompt) -> Preference:
        return p.model_copy(update={"comparison": p.comparison.model_copy(update={"prompt": prompt})})

    two = [(moved(p, prompts[i % 2]), label) for i, (p, label) in enumerate(pairs)]
    result = cross_validated(two, "platt")
    assert len({str(p.rater.settings["calibration"]) for p in result}) == 2
    with pytest.raises(UsageError, match="needs two prompts and two folds, got 1 and 5"):
        cross_validated([(moved(p, prompts[0]), label) for p, label in pairs], "platt")


def test_a_calibration_survives_the_disk_and_a_broken_file_is_named(tmp_path: Path) -> None:
    found = fit(people(30, 0.7, 0.3), "platt")
    path = tmp_path / "calibration.json"
    save(found, path)
    assert load(path) == found
    assert load(path).hash == found.hash
    path.write_text("{")
    with pytest.raises(UsageError, match="not a JSON file"):
        load(path)
    path.write_text('{"method": "platt"}')
    with pytest.raises(UsageError, match='not a calibration: "slope" is missing; give a file'):
        load(path)
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        load(tmp_path / "absent.json")
