"""What a judge prefers in excess of people: planted truths, and what cannot be measured."""

import numpy as np
import pytest
from scipy.special import expit

from preceptor.core.types import (
    Comparison,
    HumanLabel,
    Message,
    Preference,
    Presentation,
    Prompt,
    Rater,
    Response,
    Verdict,
)
from preceptor.evaluation.judges.bias_words import excess_in_words, swayed
from preceptor.evaluation.judges.excess_bias import BiasEffect, BiasName, excess_bias
from preceptor.judging.text_features import features_of

RATER = Rater(model="judge", constitution="c", constitution_hash="h")
VERDICT = Verdict(probabilities={"1": 1.0}, choice_mass=1.0)
ALL = ["position", "length", "markdown", "lists", "sentiment", "refusal", "self", "family"]


def text(words: int, bold: bool) -> str:
    return ("**so** " if bold else "so so ") + "word " * words


def comparison(number: int, rng: np.random.Generator, policies: tuple[str, str] = ("unknown", "unknown")) -> Comparison:
    prompt = Prompt(id=f"q{number}", conversation=(Message(role="user", content="why?"),))
    a, b = (
        Response(prompt_id=prompt.id, text=text(int(rng.integers(1, 60)), bool(rng.random() < 0.5)), policy=policy)
        for policy in policies
    )
    return Comparison(id=prompt.id, prompt=prompt, a=a, b=b)


def preference(asked: Comparison, p_ab: float, p_ba: float | None = None) -> Preference:
    """Shown in both orders, in which it says these."""
    p_ba = p_ab if p_ba is None else p_ba
    shown = tuple(
        Presentation(order=order, p_a=p, verdict=VERDICT) for order, p in zip(("ab", "ba"), (p_ab, p_ba), strict=True)
    )
    return Preference(comparison=asked, p_a=(p_ab + p_ba) / 2, rater=RATER, presentations=shown)


def labelled(
    asked: list[Comparison],
    rng: np.random.Generator,
    judge: dict[BiasName, float],
    people: dict[BiasName, float],
    position: float = 0.0,
) -> list[tuple[Preference, HumanLabel]]:
    """Judge and people agree on a quality; the effects of features come on top."""
    pairs: list[tuple[Preference, HumanLabel]] = []
    for each in asked:
        quality = rng.normal()
        of_a, of_b = features_of(each.a.text), features_of(each.b.text)
        by_judge, by_people = (
            quality + sum(effect * (of_a[name] - of_b[name]) for name, effect in effects.items())  # pyright: ignore
            for effects in (judge, people)
        )
        p_ab, p_ba = expit(by_judge + position), expit(by_judge - position)
        label = HumanLabel(p_a=float(rng.random() < expit(by_people)))
        pairs.append((preference(each, float(p_ab), float(p_ba)), label))
    return pairs


def effects_of(pairs: list[tuple[Preference, HumanLabel]], judge: str = "judge") -> dict[BiasName, BiasEffect]:
    return {effect.feature: effect for effect in excess_bias(pairs, judge)}


def test_a_planted_excess_is_found_and_its_interval_holds_the_truth() -> None:
    """Over 16 data sets: a length excess beside none for Markdown, with people who like both."""
    rng = np.random.default_rng(7)
    asked = [comparison(i, rng) for i in range(100)]
    held = {"length": 0, "markdown": 0}
    for _ in range(16):
        pairs = labelled(asked, rng, {"length": 0.9, "markdown": 0.5}, {"length": 0.3, "markdown": 0.5})
        found = effects_of(pairs)
        # Not knowing the quality, a fractional logit sees effects that are smaller by the same factor for both.
        truths: dict[BiasName, float] = {"length": 0.6 * 0.83, "markdown": 0.0}
        for name, truth in truths.items():
            excess = found[name].excess
            assert excess is not None and excess.low is not None and excess.high is not None
            held[name] += excess.low <= truth <= excess.high
    assert held["length"] >= 12
    assert held["markdown"] >= 12


def test_a_judge_that_says_what_people_think_has_no_excess() -> None:
    rng = np.random.default_rng(3)
    pairs = labelled([comparison(i, rng) for i in range(60)], rng, {"length": 0.8}, {"length": 0.8})
    same = [(each, HumanLabel(p_a=each.p_a)) for each, _ in pairs]
    excess = effects_of(same)["length"].excess
    assert excess is not None
    assert excess.value == pytest.approx(0.0, abs=1e-6)
    assert swayed(excess_bias(same, "judge")) == []
    assert "nothing beyond chance" in str(excess_in_words(excess_bias(same, "judge"), "J"))


def test_position_is_the_log_odds_of_being_shown_first() -> None:
    rng = np.random.default_rng(5)
    pairs = labelled([comparison(i, rng) for i in range(100)], rng, {}, {}, position=0.8)
    effect = effects_of(pairs)["position"]
    assert effect.people is None
    assert effect.excess is not None
    assert effect.excess == effect.judge
    assert effect.excess.value == pytest.approx(0.8 * 0.87, abs=0.06)
    assert effect.beyond_chance
    assert "shown first" in str(excess_in_words([effect], "J"))


def test_a_response_of_its_own_and_one_of_its_family_are_told_apart() -> None:
    rng = np.random.default_rng(9)
    own, sibling, other = "hf:Qwen/Qwen2.5-7B", "Qwen2.5-0.5B", "gpt-4"
    asked = [comparison(i, rng, (own if i % 2 else sibling, other)) for i in range(80)]
    pairs = [(preference(each, 0.9 if i % 2 else 0.5), HumanLabel(p_a=0.5)) for i, each in enumerate(asked)]
    found = effects_of(pairs, "Qwen2.5-7B#0123456789ab:float32")
    self_effect, family = found["self"], found["family"]
    assert (self_effect.prompts, family.prompts) == (40, 40)
    assert self_effect.excess is not None and family.excess is not None
    assert self_effect.excess.value == pytest.approx(2.2, abs=0.3)  # log 9, less what it begins with
    assert family.excess.value == pytest.approx(0.0, abs=0.1)


def test_what_separates_wins_from_losses_has_a_finite_effect() -> None:
    rng = np.random.default_rng(11)
    asked = [comparison(i, rng) for i in range(40)]
    longer = [float(len(each.a.text) > len(each.b.text)) for each in asked]
    pairs = [(preference(each, wins), HumanLabel(p_a=0.5)) for each, wins in zip(asked, longer, strict=True)]
    effect = effects_of(pairs)["length"]
    assert effect.excess is not None and effect.excess.low is not None and effect.excess.high is not None
    assert 1.0 < effect.excess.low < effect.excess.high < 100.0


def test_what_does_not_vary_and_too_few_prompts_are_not_measured() -> None:
    rng = np.random.default_rng(13)
    asked = [comparison(i, rng) for i in range(30)]
    found = excess_bias([(preference(each, 0.7), HumanLabel(p_a=1.0)) for each in asked], "judge")
    assert [effect.feature for effect in found] == ALL
    unknown = {effect.feature: effect.unknown for effect in found}
    assert "never differ" in str(unknown["lists"])
    assert "which model" in str(unknown["self"])
    assert unknown["length"] is None
    few = excess_bias([(preference(each, 0.7), HumanLabel(p_a=1.0)) for each in asked[:5]], "judge")
    assert all(effect.unknown for effect in few)
    assert "20 prompts" in str(few[1].unknown)
    assert "not measured" in str(excess_in_words(few, "J"))
    assert excess_bias([], "judge")[0].unknown is not None


def test_a_feature_that_differs_for_few_prompts_is_not_measured() -> None:
    rng = np.random.default_rng(17)
    asked = [comparison(i, rng) for i in range(30)]
    plain = [
        each
        if i < 3
        else each.model_copy(
            update={
                side: getattr(each, side).model_copy(update={"text": text(i + (side == "a"), False)}) for side in "ab"
            }
        )
        for i, each in enumerate(asked)
    ]
    found = effects_of([(preference(each, 0.7), HumanLabel(p_a=1.0)) for each in plain])
    assert "for only" in str(found["markdown"].unknown)


def test_pairs_shown_in_one_order_tell_nothing_of_the_position() -> None:
    rng = np.random.default_rng(19)
    asked = [comparison(i, rng) for i in range(30)]
    shown = [preference(each, 0.6) for each in asked]
    once = [each.model_copy(update={"presentations": each.presentations[:1]}) for each in shown]
    assert "one order" in str(excess_bias([(each, HumanLabel(p_a=1.0)) for each in once], "judge")[0].unknown)
