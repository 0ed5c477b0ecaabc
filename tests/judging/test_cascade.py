"""A cascade asks its judges one after the other, each only about what is still open."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from judging_examples import CONSTITUTION, compared, failed, first_with, fresh_ledger, likes, preferred, text_of

from preceptor.backends.scripted import ScriptedModel
from preceptor.core.errors import UsageError
from preceptor.core.types import Comparison, JudgeFailure, Preference
from preceptor.judging import cascade as cascades
from preceptor.judging.cascade import Cascade, CascadeJudge, CascadeStep, confidence
from preceptor.judging.judge import Judge
from preceptor.judging.judge_spec import JudgeSpec
from preceptor.judging.judges import judge_specs
from preceptor.judging.pairwise import PairwiseJudge
from preceptor.judging.settings import variant
from preceptor.store.ledger import Ledger

EASY, HARD, HARDEST = compared("a", "good", "easy"), compared("b", "good", "hard"), compared("c", "good", "hardest")


def cheap() -> ScriptedModel:
    """Prefers "good" to "a" with 0.9, and to all else with 0.6."""

    def p_first(x: str, y: str) -> float:
        sure = 0.9 if "a" in (x, y) else 0.6
        return sure if x == "good" else 1 - sure

    return ScriptedModel("cheap", first_with(p_first))


def strong() -> ScriptedModel:
    """Prefers "b" to "good" with 0.8, and is undecided about "c"."""
    return ScriptedModel("strong", first_with(lambda x, y: 0.5 if "c" in (x, y) else 0.8 if x == "b" else 0.2))


def member(model: ScriptedModel, ledger: Ledger | None = None) -> PairwiseJudge:
    return PairwiseJudge(model, CONSTITUTION, variant("detailed"), ledger or fresh_ledger())


def cascade_of(judges: list[PairwiseJudge], thresholds: list[float], asked: tuple[float, ...] = (1.0, 0.5)) -> Cascade:
    steps = [
        CascadeStep(
            judge=JudgeSpec(model="scripted:random", variant="detailed"),
            threshold=threshold,
            asked=share,
            identity=judge.rater.model,
            constitution_hash=judge.rater.constitution_hash,
            settings=judge.rater.settings,
        )
        for judge, threshold, share in zip(judges, thresholds, asked, strict=False)
    ]
    return Cascade(agreement=0.8, certainty=0.9, labels=100, steps=tuple(steps))


def both(first: ScriptedModel, second: ScriptedModel) -> CascadeJudge:
    judges = [member(first), member(second)]
    return CascadeJudge(judges, cascade_of(judges, [0.7, 0.7]))


def test_only_what_the_cheap_judge_is_unsure_of_goes_to_the_strong_one() -> None:
    first, second = cheap(), strong()
    judge = both(first, second)
    easy, hard, hardest = judge.compare([EASY, HARD, HARDEST])
    assert preferred(easy).p_a == pytest.approx(0.1)
    assert preferred(easy).rater.model == "scripted:cheap"
    assert preferred(hard).p_a == pytest.approx(0.8)
    assert preferred(hard).rater.model == "scripted:strong"
    assert preferred(hard).rater.settings["cascade"] == judge.cascade.hash
    assert failed(hardest).reason == "unsure"
    assert "0.600" in failed(hardest).detail
    assert "0.500" in failed(hardest).detail
    assert failed(hardest).usage.prompt_tokens == 40  # two orders by each judge, 10 tokens each
    assert not failed(hardest).transient
    assert (len(first.asked), len(second.asked)) == (6, 4)  # in both orders
    assert not any("easy" in text_of(request) for request in second.asked)
    assert judge.expected_shares == (1.0, 0.5)


def test_each_judge_is_asked_once_about_all_that_is_open() -> None:
    batches: list[int] = []

    class Counting(PairwiseJudge):
        def compare(self, comparisons: Sequence[Comparison]) -> list[Preference | JudgeFailure]:
            batches.append(len(comparisons))
            return super().compare(comparisons)

    judges = [Counting(m, CONSTITUTION, variant("detailed"), fresh_ledger()) for m in (cheap(), strong())]
    CascadeJudge(judges, cascade_of([*judges], [0.7, 0.7])).compare([EASY, HARD, HARDEST])
    assert batches == [3, 2]


def test_a_judge_that_fails_for_good_leaves_the_comparison_to_the_next() -> None:
    refusing = ScriptedModel("cheap", lambda _: JudgeFailure(reason="refused", detail="no"))
    [answer] = both(refusing, strong()).compare([HARD])
    assert preferred(answer).rater.model == "scripted:strong"
    [last] = both(cheap(), ScriptedModel("strong", lambda _: JudgeFailure(reason="refused", detail="no"))).compare(
        [HARD]
    )
    assert failed(last).reason == "refused"


def test_an_outage_of_the_cheap_judge_does_not_send_everything_to_the_strong_one() -> None:
    second = strong()
    down = ScriptedModel("cheap", lambda _: JudgeFailure(reason="backend_error", detail="down"))
    assert failed(both(down, second).compare([HARD])[0]).transient
    assert second.asked == []


def test_what_is_on_record_is_not_asked_again() -> None:
    first, second, ledger = cheap(), strong(), fresh_ledger()
    judges = [member(first, ledger), member(second, ledger)]
    judge = CascadeJudge(judges, cascade_of(judges, [0.7, 0.7]))
    once, again = judge.compare([EASY, HARD]), judge.compare([EASY, HARD])
    assert once == again
    assert (len(first.asked), len(second.asked)) == (4, 2)


def test_confidence_is_that_of_the_preferred_response() -> None:
    [sure] = member(ScriptedModel("sure", likes("a", 0.9))).compare([EASY])
    [swapped] = member(ScriptedModel("sure", likes("good", 0.9))).compare([EASY])
    assert confidence(preferred(sure)) == pytest.approx(0.9)
    assert confidence(preferred(swapped)) == pytest.approx(0.9)


def test_thresholds_belong_to_the_judges_that_they_were_calibrated_on() -> None:
    judges = [member(cheap()), member(strong())]
    with pytest.raises(UsageError, match="scripted:strong"):
        CascadeJudge([judges[1], judges[1]], cascade_of(judges, [0.7, 0.7]))


def test_a_cascade_in_a_file_is_one_judge(tmp_path: Path) -> None:
    path = tmp_path / "cascade.json"
    with Judge("scripted:random") as judge:
        rater = preferred(judge.compare("q", "x", "y")).rater
    step = CascadeStep(
        judge=judge.spec,
        threshold=0.5,
        asked=1.0,
        identity=rater.model,
        constitution_hash=rater.constitution_hash,
        settings=rater.settings,
    )
    written = Cascade(agreement=0.8, certainty=0.9, labels=100, steps=(step,))
    cascades.save(written, path)
    assert cascades.load(path) == written
    [spec] = judge_specs(str(path))
    assert (spec.model, spec.cascade) == ("scripted:random", str(path))
    with Judge("scripted:random", cascade=path) as cascade:
        assert preferred(cascade.compare("q", "x", "y")).rater.settings["cascade"] == written.hash
        with pytest.raises(UsageError, match="scoring"):
            cascade.score("q", "x")
    with Judge("scripted:first", cascade=path) as other, pytest.raises(UsageError, match="scripted:first"):
        other.compare("q", "x", "y")


@pytest.mark.parametrize(("text", "said"), [("{", "JSON"), ('{"steps": []}', "agreement"), ("", "JSON")])
def test_a_file_that_is_no_cascade(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "cascade.json"
    path.write_text(text)
    with pytest.raises(UsageError, match=said):
        cascades.load(path)
    with pytest.raises(UsageError, match="cannot be read"):
        cascades.load(tmp_path / "missing.json")


def test_only_a_cascade_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "notes.json"
    cascades.check_replaceable(path)
    path.write_text("{}")
    with pytest.raises(UsageError, match="not replaced"):
        cascades.check_replaceable(path)
