"""Labels by designs whose later comparisons depend on earlier ones: which rows there are, and that all are judged."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from judging.judging_examples import CONSTITUTION, first_with, fresh_ledger, place, text_of
from labelling import Job, labelled, planned
from preceptor.backends.base import ChoiceLogProbs, ChooseRequest
from preceptor.backends.scripted import ScriptedModel
from preceptor.core.errors import UsageError
from preceptor.core.types import Comparison, JudgeFailure, Preference
from preceptor.judging.groups.design import PairDesign, comparisons_of
from preceptor.judging.label import InputRow, judge_rows
from preceptor.judging.pairwise import PairwiseJudge
from preceptor.judging.settings import PairwiseSettings
from preceptor.store.comparisons import ComparisonRow, read_comparisons
from preceptor.tasks.candidates import Sampling
from preceptor.tasks.label_groups import RememberingJudge, expected_rows, played_rows

GROUPS: list[dict[str, Any]] = [
    {"id": f"g{n}", "prompt": f"question {n}", "responses": [f"{n} worth {i}" for i in (2, 0, 3, 1)]} for n in range(5)
]
PAIR = {"id": "pair", "prompt": "one more", "response_a": "worth 1", "response_b": "worth 0"}


def write(path: Path, rows: Sequence[Any]) -> Path:
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def by_worth(first: str, second: str) -> float:
    return 0.5 if first[-1] == second[-1] else 0.8 if first[-1] > second[-1] else 0.2


class Batches(PairwiseJudge):
    """A judge by the number at the end of a response, which records the comparisons of each batch."""

    def __init__(self, failing: str = "nothing") -> None:
        def choose(request: ChooseRequest) -> ChoiceLogProbs | JudgeFailure:
            shown = {place(text_of(request), tag) for tag in ("response_1", "response_2")}
            if failing in shown:
                return JudgeFailure(reason="refused", detail="failing")
            return first_with(by_worth)(request)

        super().__init__(ScriptedModel("s", choose), CONSTITUTION, PairwiseSettings(), fresh_ledger())
        self.batches: list[list[str]] = []

    def compare(self, comparisons: Sequence[Comparison]) -> list[Preference | JudgeFailure]:
        self.batches.append([comparison.id for comparison in comparisons])
        return super().compare(comparisons)


def names(rows: Sequence[InputRow]) -> list[str]:
    return [row.comparison.id if isinstance(row, ComparisonRow) else row.place for row in rows]


def played(path: Path, design: PairDesign, judge: Batches, *, done: int = 0, total: int = 1000) -> list[InputRow]:
    return list(played_rows(read_comparisons(path), design, RememberingJudge(judge), 6, done, total))


def test_a_knockout_labels_the_games_that_were_played(tmp_path: Path) -> None:
    """2 beats 0, 3 beats 1, then 3 beats 2: places 0 and 1, 2 and 3, 0 and 2."""
    path, judge = write(tmp_path / "rows.jsonl", [GROUPS[0], PAIR, GROUPS[1]]), Batches()
    rows = played(path, "knockout", judge)
    assert names(rows) == ["g0-0-1", "g0-2-3", "g0-0-2", "pair", "g1-0-1", "g1-2-3", "g1-0-2"]
    assert [row.number for row in rows] == list(range(7))


def test_a_round_of_several_groups_is_one_batch(tmp_path: Path) -> None:
    """Groups that begin within the same 6 rows are judged together: two knockouts of 3 rows."""
    path, judge = write(tmp_path / "rows.jsonl", GROUPS[:3]), Batches()
    played(path, "knockout", judge)
    assert [len(batch) for batch in judge.batches] == [4, 2, 2, 1]


@pytest.mark.parametrize("design", ["swiss", "knockout"])
def test_rows_are_counted_before_anything_is_judged(tmp_path: Path, design: PairDesign) -> None:
    path = write(tmp_path / "rows.jsonl", [GROUPS[0], "{broken", PAIR, *GROUPS[1:]])
    expected = list(expected_rows(read_comparisons(path), design))
    rows = played(path, design, Batches())
    assert [(row.number, row.place) for row in rows] == [(row.number, row.place) for row in expected]
    assert len(rows) == 5 * comparisons_of(design, 4) + 2


def test_work_goes_on_at_any_row_without_judging_what_is_done(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.jsonl", GROUPS)
    whole = played(path, "swiss", Batches())
    for done in range(len(whole)):
        judge = Batches()
        assert played(path, "swiss", judge, done=done) == whole[done:]
        asked = {name.split("-")[0] for batch in judge.batches for name in batch}
        assert asked == {f"g{n}" for n in range(done // 4, 5)}
    assert played(path, "swiss", Batches(), total=6) == whole[:6]


def test_every_row_has_the_judgement_that_the_tournament_saw(tmp_path: Path) -> None:
    """What fails stays a failure, and is asked once."""
    path, judge = write(tmp_path / "rows.jsonl", GROUPS[:2]), Batches("1 worth 2")
    remembering = RememberingJudge(judge)
    rows = played_rows(read_comparisons(path), "swiss", remembering, 8, 0, 8)
    chunks = list(judge_rows(rows, remembering, 8))
    assert sum(len(chunk.kept) for chunk in chunks) == 6
    assert {row.id for chunk in chunks for row in chunk.failed} == {"g1-0-1", "g1-0-2"}
    asked = [name for batch in judge.batches for name in batch]
    assert sorted(asked) == sorted(set(asked))


def test_a_comparison_that_is_given_twice_is_answered_twice() -> None:
    judge = Batches()
    remembering = RememberingJudge(judge)
    comparison = Comparison.model_validate(
        {
            "id": "same",
            "prompt": {"id": "q", "conversation": [{"role": "user", "content": "q"}]},
            "a": {"prompt_id": "q", "text": "worth 1"},
            "b": {"prompt_id": "q", "text": "worth 0"},
        }
    )
    other = comparison.swapped()
    first = remembering.compare([comparison, comparison, other])
    assert remembering.compare([comparison, comparison, other]) == first
    assert judge.batches == [["same", "same"]]
    p = [outcome.p_a for outcome in first if isinstance(outcome, Preference)]
    assert p == pytest.approx([0.8, 0.8, 0.2])


def test_groups_at_one_place_are_told_apart(tmp_path: Path) -> None:
    """As candidates of two prompts that have the same id."""
    path = write(tmp_path / "rows.jsonl", GROUPS[:2])
    rows = [replace(row, place="here") for row in read_comparisons(path)]
    assert len(list(expected_rows(iter(rows), "knockout"))) == 6


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return {"rows": write(tmp_path / "rows.jsonl", GROUPS), "out": tmp_path / "out", "judges": "scripted:random"}


@pytest.mark.parametrize("design", ["swiss", "knockout"])
def test_labels_by_a_tournament(job: Job, design: PairDesign) -> None:
    count = 5 * comparisons_of(design, 4)
    assert (planned(job, design=design).rows, planned(job, design=design).calls) == (count, 2 * count)
    labels = labelled(job, design=design)
    assert labels.counts.preferences == count
    assert labels.ledger.calls == 2 * count
    assert [row.row for row in labels] == list(range(count))
    assert len({row.id for row in labels}) == count
    assert labelled(job, design=design).calls_in_this_process == 0


def test_a_larger_limit_goes_on_with_the_tournament(job: Job, tmp_path: Path) -> None:
    labelled(job, design="swiss", limit=6)
    continued = list(labelled(job, design="swiss"))
    assert continued == list(labelled(job, design="swiss", out=tmp_path / "at once"))


def test_candidates_play_a_tournament(job: Job, tmp_path: Path) -> None:
    prompts = write(tmp_path / "prompts.jsonl", [{"prompt": f"What is {i}?"} for i in range(3)])
    sampling = Sampling(policy="scripted:random", samples=4, design="knockout", max_new_tokens=12)
    sampled = job | {"rows": prompts, "sampling": sampling}
    assert planned(sampled).rows == 9
    assert labelled(sampled).counts.preferences == 9


def test_a_cluster_takes_no_tournament(job: Job) -> None:
    with pytest.raises(UsageError, match="design swiss chooses pairs by earlier answers"):
        labelled(job, design="swiss", ray="local")
