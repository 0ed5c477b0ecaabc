"""What the report of a run says about the rewards of training."""

from dataclasses import replace
from typing import Any

from preceptor.reports.run.page import render_report
from preceptor.reports.run.rewards import groups_in_words, sources
from run_examples import data


def step(number: int, reward: float | None, **more: Any) -> Any:
    of_source = {"reward": reward, "reward_std": 0.5, "abstained": 1, "equal_groups": 2}
    return {"step": number, "reward": 0.0, "kl": 0.0, "sources": {"words<b>": of_source}, **more}


def test_groups_without_variance_are_told() -> None:
    metrics = [step(1, 0.0, equal_groups=3, short_groups=0), step(2, 1.0, equal_groups=4, short_groups=1)]
    told = " ".join(groups_in_words(metrics))
    assert "7 groups" in told
    assert "skip: 1." in told
    assert "replaced" not in told
    [replaced] = groups_in_words([step(1, 0.0, resampled_groups=5, discarded_tokens=120)])
    assert "5 more groups" in replaced
    assert "120 tokens" in replaced
    assert list(groups_in_words([{"step": 1, "loss": 2.0}])) == []


def test_sources_have_their_means_at_both_ends() -> None:
    rewards = [0.0, 0.5, None, 1.0]
    [row] = sources([step(number, reward) for number, reward in enumerate(rewards, start=1)])
    assert (row.name, row.first, row.last, row.abstained, row.equal_groups) == ("words<b>", 0.25, 1.0, 4, 8)
    assert sources([{"step": 1, "reward": 0.0}]) == []


def test_the_page_shows_them_escaped() -> None:
    page = render_report(replace(data(), metrics=[step(1, 0.25, equal_groups=6), step(2, 0.75, equal_groups=6)]))
    assert "12 groups" in page
    assert "words&lt;b&gt;" in page
    assert "Sources of reward" not in render_report(data())
