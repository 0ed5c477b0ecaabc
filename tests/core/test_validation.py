"""Arguments of the public API are checked before any work, with an error that names them."""

from collections.abc import Callable
from typing import Any, Literal

import pytest

import preceptor as pc
from preceptor.core.errors import UsageError
from preceptor.core.types import Frozen
from preceptor.core.validation import check_choice, check_count, check_dollars, check_share, explain, settings_of

PAIRS = [{"prompt": f"q{i}", "response_a": "x", "response_b": f"yes {i}", "label": "a"} for i in range(4)]
ANSWERS = [{"prompt": "q", "response": "x"}]
JUDGE = "scripted:random"


class Small(Frozen):
    size: int = 1


@pytest.mark.parametrize("count", [0, -1, 2.5, True, "3", float("nan")])
def test_a_count_is_a_whole_number(count: Any) -> None:
    check_count("limit", None)
    check_count("limit", 1)
    with pytest.raises(UsageError, match="limit = "):
        check_count("limit", count)


@pytest.mark.parametrize("share", [-0.1, 1.1, "0.1", float("nan"), True])
def test_a_share_is_from_0_to_1(share: Any) -> None:
    check_share("rate", 0)
    check_share("rate", 1.0)
    with pytest.raises(UsageError, match="rate = "):
        check_share("rate", share)


@pytest.mark.parametrize("dollars", [-1, float("inf"), float("nan"), "3", True])
def test_dollars_are_a_number(dollars: Any) -> None:
    assert check_dollars("budget", 0.5) == 0.5
    with pytest.raises(UsageError, match="budget "):
        check_dollars("budget", dollars)


def test_a_choice_is_one_of_those_named() -> None:
    check_choice("design", "all", Literal["all", "circular"])
    with pytest.raises(UsageError, match="design = 'foo': expected 'all' or 'circular'"):
        check_choice("design", "foo", Literal["all", "circular"])


def test_settings_are_given_as_they_are_or_as_a_dict() -> None:
    assert settings_of("small", Small, None) is None
    assert settings_of("small", Small, {"size": 2}) == settings_of("small", Small, Small(size=2)) == Small(size=2)
    wrong: list[Any] = [{"sise": 2}, {"size": "x"}, "size", 3, Small]
    for given in wrong:
        with pytest.raises(UsageError, match="small: "):
            settings_of("small", Small, given)


def test_a_wrong_value_is_shown_in_short() -> None:
    with pytest.raises(UsageError) as caught:
        settings_of("small", Small, {"size": "x" * 10_000})
    assert len(str(caught.value)) < 400
    assert explain.__doc__


WRONG: list[tuple[Callable[..., object], dict[str, Any]]] = [
    (pc.label, {"limit": -1}),
    (pc.label, {"limit": 2.5}),
    (pc.label, {"design": "foo"}),
    (pc.label, {"max_failure_rate": 2}),
    (pc.label, {"to_people": -1}),
    (pc.label, {"sampling": "embedded"}),
    (pc.label, {"sampling": {"polic": "embedded"}}),
    (pc.label, {"connection": {"retry": 1}}),
    (pc.label, {"judges": None}),
    (pc.label, {"judges": 3}),
    (pc.plan_label, {"limit": 0}),
    (pc.plan_label, {"budget": -1}),
    (pc.audit, {"limit": -1}),
    (pc.audit, {"method": "foo"}),
    (pc.audit, {"budget": "3"}),
]


@pytest.mark.parametrize(("task", "wrong"), WRONG)
def test_a_task_on_pairs_refuses_a_wrong_argument(task: Callable[..., object], wrong: dict[str, Any]) -> None:
    [name] = wrong
    with pytest.raises(UsageError, match="expected a Judge" if name == "judges" else name):
        task(PAIRS, **{"judges": JUDGE, **wrong})


@pytest.mark.parametrize(
    "wrong",
    [{"limit": -1}, {"max_failure_rate": -1}, {"answering": {"samplse": 2}}, {"human_usd_per_label": -1}],
)
def test_an_evaluation_refuses_a_wrong_argument(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=next(iter(wrong))):
        pc.evaluate(base=ANSWERS, tuned=ANSWERS, judge=JUDGE, **wrong)


@pytest.mark.parametrize("wrong", [{"limit": -1}, {"budget": -1}, {"settings": {"round": 1}}, {"connection": 3}])
def test_a_revision_refuses_a_wrong_argument(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=next(iter(wrong))):
        pc.revise(["hello"], model=JUDGE, **wrong)


@pytest.mark.parametrize("wrong", [{"limit": -1}, {"budget": -1}, {"settings": {"rounds": 1}}, {"connection": 3}])
def test_a_construction_refuses_a_wrong_argument(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=next(iter(wrong))):
        pc.construct(["hello"], model=JUDGE, **wrong)


def test_a_judge_in_place_of_a_model_is_refused() -> None:
    judge: Any = pc.Judge(JUDGE)
    with pytest.raises(UsageError, match="model string"):
        pc.revise(["hello"], model=judge)


def test_settings_may_be_dicts() -> None:
    labels = pc.label(["hello", "there"], judges=JUDGE, sampling={"policy": JUDGE, "samples": 2})
    assert labels.counts.preferences == 2
    assert pc.revise(["hello"], model=JUDGE, settings={"rounds": 1}).settings.rounds == 1
    result = pc.evaluate(
        base=JUDGE, tuned="scripted:first", prompts=["hi"], judge=JUDGE, answering={"max_new_tokens": 5}
    )
    assert result.prompts == 1
