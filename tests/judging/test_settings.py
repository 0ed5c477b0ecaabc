"""Ways of asking by their short names, and what a rater says of them."""

import pytest

from preceptor.core.errors import UsageError
from preceptor.judging.ask import Reasoning
from preceptor.judging.settings import PairwiseSettings, ScoreSettings, variant


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("detailed", PairwiseSettings()),
        ("base", PairwiseSettings(preamble="base")),
        ("detailed+cot+2-shot", PairwiseSettings(rationale=True, exemplars=2)),
        ("sc-4", PairwiseSettings(rationale=True, samples=4)),
        ("cot+sc-4", PairwiseSettings(rationale=True, samples=4)),
        ("single+log-odds", PairwiseSettings(order="single", combine="log_odds")),
        ("each", PairwiseSettings(principles="each")),
        ("sampled+0-shot", PairwiseSettings(principles="sampled")),
    ],
)
def test_a_variant_by_its_name(name: str, settings: PairwiseSettings) -> None:
    assert variant(name) == settings


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("detaild", '"detaild" in the variant "detaild": expected base, detailed, cot, K-shot, sc-N, single, '),
        ("", '"" in the variant "": expected'),
        ("cot+", '"" in the variant "cot\\+": expected'),
        ("x-shot", '"x-shot" in the variant'),
        ("base+each", 'the variant "base\\+each": .*principles are not shown with preamble = "base"'),
        ("sc-0", 'the variant "sc-0": .*greater than or equal to 1'),
        ("base+detailed", '"detailed" in the variant "base\\+detailed": preamble is base by an earlier part'),
        ("each+sampled", "principles is each by an earlier part"),
        ("1-shot+2-shot", "exemplars is 1 by an earlier part"),
    ],
)
def test_a_wrong_name_says_what_is_wrong(name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        variant(name)


@pytest.mark.parametrize("kind", [PairwiseSettings, ScoreSettings])
def test_several_samples_need_a_rationale(kind: type[PairwiseSettings | ScoreSettings]) -> None:
    with pytest.raises(UsageError, match="samples > 1 needs rationale = true"):
        kind(samples=2)


def test_one_rationale_is_greedy_and_several_are_sampled() -> None:
    assert PairwiseSettings().reasoning is None
    assert variant("cot").reasoning == Reasoning(160, 0.0, None)
    assert variant("sc-3").reasoning == Reasoning(160, 0.7, 40)


def test_a_rater_is_told_only_what_can_matter() -> None:
    """A temperature that nothing is sampled with makes no other judge."""
    of_samples = {"rationale_tokens", "samples", "temperature", "top_k"}
    assert of_samples.isdisjoint(variant("detailed").for_rater())
    assert of_samples & variant("cot").for_rater().keys() == {"rationale_tokens", "samples"}
    assert of_samples <= variant("sc-3").for_rater().keys()
    assert ScoreSettings(temperature=0.1).for_rater() == ScoreSettings().for_rater()
    assert ScoreSettings(rationale=True, samples=2, temperature=0.1).for_rater()["temperature"] == 0.1
