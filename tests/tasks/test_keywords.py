"""A misspelt keyword is not mistaken for the name of a policy or a setting."""

from collections.abc import Callable

import pytest

import preceptor as pc

JUDGE = "scripted:random"


@pytest.mark.parametrize(
    ("work", "misspelt", "meant"),
    [
        (lambda: pc.evaluate(a=["x"], b=["y"], promts=["q"], judge=JUDGE), "promts", "prompts"),
        (lambda: pc.evaluate(a=["x"], b=["y"], prompts=["q"], judge=JUDGE, limits="3"), "limits", "limit"),
        (lambda: pc.evaluate(a="r.jsonl", b="s.jsonl", judges=JUDGE, judge=JUDGE), "judges", "judge"),
        (lambda: pc.run("quickstart", promts=["q"]), "promts", "prompts"),
        (lambda: pc.run("quickstart", progres=None), "progres", "progress"),
        (lambda: pc.arms("warm_tone", scales="tiny"), "scales", "scale"),
    ],
)
def test_a_misspelt_keyword_is_refused_with_the_one_that_was_meant(
    work: Callable[[], object], misspelt: str, meant: str
) -> None:
    with pytest.raises(pc.UsageError, match=f'"{misspelt}".*did you mean "{meant}"'):
        work()


def test_a_policy_of_such_a_name_is_given_in_a_dict() -> None:
    result = pc.evaluate({"judges": ["x"], "limits": ["y"]}, prompts=["q"], judge=JUDGE)
    assert [policy.name for policy in result.policies] == ["judges", "limits"]
