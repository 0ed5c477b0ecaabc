"""People's labels say how their comparisons were chosen, and `estimate` uses only those that stand for the rest."""

from pathlib import Path
from typing import Any

import pytest

from preceptor.core.errors import UsageError
from preceptor.core.progress import Silence
from preceptor.judging.specs import JudgeSpec
from preceptor.store.comparisons import Malformed, read_comparisons
from preceptor.store.preferences import write_parquet
from preceptor.tasks.estimate import estimate as estimate_of
from preceptor.tasks.label import label
from rows import read, write

RANDOM = (JudgeSpec(model="scripted:random"),)
TEXTS = ("id", "prompt", "response_a", "response_b")


def comparison(i: int, **more: Any) -> dict[str, Any]:
    return {"id": f"c{i}", "prompt": f"question {i}", "response_a": f"a {i}", "response_b": f"b {i}", **more}


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """200 comparisons, 50 of which were written for people because the judge disputes them."""
    folder = tmp_path_factory.mktemp("labels")
    data = write(folder / "rows.jsonl", [comparison(i) for i in range(200)])
    label(data, judges=RANDOM, out=folder / "out", to_people=50, progress=Silence())
    return folder / "out"


def disputed(labels: Path, **label: Any) -> list[dict[str, Any]]:
    return [{**row, **label} for row in read(labels / "for_people.jsonl")]


REFUSED = r"p\.jsonl: all 50 labels are of comparisons chosen because judges dispute them\..*a plan of N labels"


def test_disputed_rows_are_refused(labels: Path, tmp_path: Path) -> None:
    """All of them said "a", which was once taken for 93 to 100 % of all comparisons."""
    people = write(tmp_path / "p.jsonl", disputed(labels, label="a"))
    with pytest.raises(UsageError, match=REFUSED) as error:
        estimate_of(labels, people=people, out=tmp_path / "out")
    assert "\n" not in str(error.value)
    assert error.value.exit_code == 2
    assert not (tmp_path / "out").exists()
    with pytest.raises(UsageError, match=REFUSED):
        estimate_of(labels, people=people, sample="random")


def test_columns_that_people_dropped_are_known_from_the_folder(labels: Path, tmp_path: Path) -> None:
    rows = [{name: row[name] for name in (*TEXTS, "label")} for row in disputed(labels, label="a")]
    people = write(tmp_path / "p.jsonl", rows)
    for sample in (None, "random"):
        with pytest.raises(UsageError, match=REFUSED):
            estimate_of(labels, people=people, sample=sample)
    # a random sample has some of them in it, and is one
    some = [*rows[:5], *(comparison(i, label="b") for i in range(60) if f"c{i}" not in {row["id"] for row in rows})]
    mixed = write(tmp_path / "mixed.jsonl", some)
    assert estimate_of(labels, people=mixed, sample="random").chosen == {"random": len(some)}


def test_who_does_not_say_is_asked(labels: Path, tmp_path: Path) -> None:
    people = write(tmp_path / "p.jsonl", [comparison(i, label="a" if i % 3 else "b") for i in range(30)])
    with pytest.raises(
        UsageError, match=r"p\.jsonl: 25 of 30 labels do not say how .* say that the sample is random if"
    ) as error:
        estimate_of(labels, people=people)
    assert "\n" not in str(error.value)
    with pytest.raises(UsageError, match='sample "planned": expected "random"'):
        estimate_of(labels, people=people, sample="planned")
    assert estimate_of(labels, people=people, sample="random").estimates.n_human == 30
    said = [row | {"selection": "random"} for row in read(people)]
    assert estimate_of(labels, people=write(people, said)).chosen == {"random": 30}


def test_disputed_rows_beside_a_plan_are_left_out_and_may_be_planned(labels: Path, tmp_path: Path) -> None:
    estimate_of(labels, plan=40, out=tmp_path / "plan")
    planned = [{**row, "label": "b"} for row in read(tmp_path / "plan" / "for_people.jsonl")]
    assert {(row["selection"], row["selection_probability"]) for row in planned} == {("planned", 0.2)}
    ours = {row["id"] for row in planned}
    others = [row for row in disputed(labels, label="a") if row["id"] not in ours]
    people = write(tmp_path / "p.jsonl", [*planned, *others])
    found = estimate_of(labels, people=people, plan=160, out=tmp_path / "more")
    assert (found.chosen, found.estimates.n_human) == ({"planned": 40}, 40)
    assert found.people is not None
    assert found.people.disputed == len(others)
    assert found.estimates.human_only is not None
    assert found.estimates.human_only.value == 0.0
    # the plan goes on through all others, whatever else people labelled
    assert {r["id"] for r in read(tmp_path / "more" / "for_people.jsonl")} == {f"c{i}" for i in range(200)} - ours


def test_planned_probabilities_become_weights(labels: Path, tmp_path: Path) -> None:
    """Of 20 labels with 1/2 all say a, of 10 with 1/8 all say b: (20 · 2 · 1 + 10 · 8 · 0) / 120."""
    often = [comparison(i, label="a", selection="planned", selection_probability=0.5) for i in range(20)]
    seldom = [comparison(i, label="b", selection="planned", selection_probability=0.125) for i in range(20, 30)]
    found = estimate_of(labels, people=write(tmp_path / "p.jsonl", [*often, *seldom]))
    assert found.estimates.human_only is not None
    assert found.estimates.human_only.value == pytest.approx(1 / 3)
    both = [*often, *seldom, *(comparison(i, label="a", selection="random") for i in range(30, 40))]
    with pytest.raises(
        UsageError, match="30 labels are planned with unequal probabilities and 10 are of a random sample"
    ):
        estimate_of(labels, people=write(tmp_path / "both.jsonl", both))
    alike = [*often, *(comparison(i, label="b", selection="random") for i in range(30, 40))]
    found = estimate_of(labels, people=write(tmp_path / "alike.jsonl", alike))
    assert found.estimates.human_only is not None
    assert found.estimates.human_only.value == pytest.approx(2 / 3)
    wrong = [comparison(0, label="a", selection="planned", selection_probability=1.5)]
    with pytest.raises(UsageError, match=r"selection_probability: expected a probability above 0 and up to 1"):
        estimate_of(labels, people=write(tmp_path / "wrong.jsonl", wrong))


def test_where_people_labelled_everything_nothing_was_chosen(tmp_path: Path) -> None:
    data = write(tmp_path / "rows.jsonl", [comparison(i, label="a" if i % 4 else "b") for i in range(24)])
    label(data, judges=RANDOM, out=tmp_path / "out", progress=Silence())
    found = estimate_of(tmp_path / "out")
    assert (found.chosen, found.estimates.n_human) == ({}, 24)


def test_labels_of_disputed_rows_keep_what_they_are(labels: Path, tmp_path: Path) -> None:
    """Judged anew with people's labels in the rows, as JSON lines and as Parquet: still no sample of anything."""
    data = write(tmp_path / "rows.jsonl", disputed(labels, label="a"))
    label(data, judges=RANDOM, out=tmp_path / "out", progress=Silence())
    assert {row["selection"] for row in read(tmp_path / "out" / "preferences.jsonl")} == {"disputed"}
    with pytest.raises(UsageError, match="judges dispute them"):
        estimate_of(tmp_path / "out")
    (tmp_path / "parquet").mkdir()
    write_parquet(tmp_path / "out" / "preferences.jsonl", tmp_path / "parquet" / "preferences.parquet")
    with pytest.raises(UsageError, match="judges dispute them"):
        estimate_of(tmp_path / "parquet" / "preferences.parquet")


def test_a_row_says_how_it_was_chosen_or_nothing(tmp_path: Path) -> None:
    rows = [
        comparison(0, selection="disputed"),
        comparison(1, selection="planned", selection_probability=0.25),
        comparison(2, selection="by hand"),
        comparison(3),
        comparison(4, selection="planned"),
    ]
    found = list(read_comparisons(write(tmp_path / "rows.jsonl", rows)))
    said = [None if isinstance(row, Malformed) else (row.selection.how, row.selection.probability) for row in found]
    assert said == [("disputed", None), ("planned", 0.25), (None, None), (None, None), None]


def test_a_sample_within_a_cohort_stands_for_this_cohort_only(tmp_path: Path) -> None:
    """Of 30 comparisons of "de" 10 are labelled, all with a; of 10 of "en" 5, all with b: (30 · 1 + 10 · 0) / 40."""
    cohorts = ["de"] * 30 + ["en"] * 10
    rows = [comparison(i, cohort=cohort) for i, cohort in enumerate(cohorts)]
    labels = label(rows, judges=RANDOM, out=tmp_path / "all", progress=Silence()).path
    german = [row | {"label": "a", "selection": "cohort"} for row in rows[:10]]
    english = [row | {"label": "b", "selection": "cohort"} for row in rows[30:35]]
    with pytest.raises(UsageError, match='none is of "en", one of the 2 cohorts'):
        estimate_of(labels, people=german)
    with pytest.raises(UsageError, match="10 labels were drawn within cohorts and 5 in another way"):
        estimate_of(labels, people=[*german, *(row | {"selection": "random"} for row in english)])
    found = estimate_of(labels, people=[*german, *english])
    assert found.chosen == {"cohort": 15}
    assert found.estimates.human_only is not None
    assert found.estimates.human_only.value == pytest.approx(0.75)
    part = label(rows[:30], judges=RANDOM, out=tmp_path / "part", progress=Silence())
    alone = estimate_of(part.path, people=german)
    assert alone.estimates.human_only is not None
    assert alone.estimates.human_only.value == 1.0


def test_a_part_of_a_plan_with_unequal_probabilities_is_unbiased(tmp_path: Path) -> None:
    """20 prompts with one comparison, in which people prefer a, and 20 with three, in which they prefer b; the mean is
    1/2. The plan takes two turns: all of the first 20 prompts, and two of three comparisons of the others. In the order
    of the turns, its first 40 rows would have each prompt once, weighted by 1 and by 3/2 / 3: 20 / 30.
    """
    values: list[float] = []
    for draw in range(8):
        rows = [comparison(1000 * draw + i, cohort="one") for i in range(20)]
        rows += [comparison(1000 * draw + i, prompt=f"many {(i - 100) // 3}", cohort="three") for i in range(100, 160)]
        label(rows, judges=RANDOM, out=tmp_path / f"{draw}", progress=Silence())
        estimate_of(tmp_path / f"{draw}", plan=60, out=tmp_path / f"plan {draw}")
        planned = read(tmp_path / f"plan {draw}" / "for_people.jsonl")
        labelled = [row | {"label": "a" if row["cohort"] == "one" else "b"} for row in planned]
        whole, part = (estimate_of(tmp_path / f"{draw}", people=said) for said in (labelled, labelled[:40]))
        assert whole.estimates.human_only is not None
        assert whole.estimates.human_only.value == pytest.approx(0.5)
        assert part.estimates.human_only is not None
        values.append(part.estimates.human_only.value)
    assert sum(values) / len(values) == pytest.approx(0.5, abs=0.06)
