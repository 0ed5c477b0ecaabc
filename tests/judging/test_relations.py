"""How a judge is related to a policy: the closest relation is what is warned of."""

import pytest

from preceptor.judging.relations import Origin, related_warning, relation

WEIGHTS = "0123456789abcdef"
POLICY = Origin(
    "hf:Qwen/Qwen2.5-0.5B", f"Qwen2.5-0.5B#{WEIGHTS}:float32", trained_from=("base",), taught_by=("teacher",)
)


@pytest.mark.parametrize(
    ("judge", "closeness", "said"),
    [
        (Origin("copy", f"copy#{WEIGHTS}:bfloat16"), 3, "same weights"),
        (Origin("hf:Qwen/Qwen2.5-0.5B"), 3, "same weights"),
        (Origin("base"), 2, "trained from"),
        (Origin("judge", trained_from=("hf:Qwen/Qwen2.5-0.5B",)), 2, "trained from"),
        (Origin("judge", trained_from=("base",)), 2, "trained from"),
        (Origin("judge", taught_by=("other", "teacher")), 1, "teacher"),
        (Origin("openai:qwen-max"), 0, "Qwen"),
        (Origin("judge", trained_from=("hf:Qwen/Qwen3-8B",)), 0, "Qwen"),
    ],
)
def test_the_closest_relation(judge: Origin, closeness: int, said: str) -> None:
    found = relation(judge, POLICY)
    assert found is not None
    assert found.closeness == closeness
    assert said in found.words


@pytest.mark.parametrize("judge", ["openai:gpt-4o", "scripted:random", "my-judge"])
def test_another_family_or_an_unknown_one_is_no_relation(judge: str) -> None:
    assert relation(Origin(judge), POLICY) is None
    assert related_warning([Origin(judge)], POLICY) is None


def test_two_unknown_models_are_not_related() -> None:
    assert relation(Origin("one"), Origin("two")) is None


def test_of_several_judges_the_closest_is_named() -> None:
    warning = related_warning([Origin("openai:gpt-4o"), Origin("openai:qwen-max"), Origin("base")], POLICY, "The judge")
    assert warning is not None
    assert warning.kind == "related"
    assert warning.sentence.startswith("The judge is what the policy was trained from")
