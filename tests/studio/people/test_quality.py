"""How far people agree in a queue, with numbers checked by hand."""

from pathlib import Path

import pytest

from preceptor.core.progress import Silence
from preceptor.core.types import JsonObject
from preceptor.store.outcomes import Outcomes
from preceptor.studio.database import Database
from preceptor.studio.folders import Library
from preceptor.studio.people.judged import Judges, Verdicts
from preceptor.studio.people.opinions import opinions
from preceptor.studio.people.quality import QueueQuality, measure
from preceptor.studio.people.queues import Guidelines, NewItem, Queue, create
from preceptor.studio.people.ratings import Remarks
from preceptor.studio.people.sources import sample_of_labels, several_policies
from preceptor.tasks.evaluate.evaluate import evaluate
from preceptor.tasks.label import label
from studio_people import rate
from studio_small import comparisons, make_queue, make_studio

THREE = {
    "Ada": {"r0": "a", "r1": "a", "r2": "b", "r3": "tie"},
    "Ben": {"r0": "a", "r1": "b", "r2": "b", "r3": "a"},
    "Cy": {"r0": "a", "r1": "a", "r2": "a", "r3": "cannot_tell"},
}


@pytest.fixture
def people(tmp_path: Path) -> Database:
    return make_studio(tmp_path / "studio").people


@pytest.fixture
def three(people: Database) -> Queue:
    queue = make_queue(people, comparisons(4), raters_per_row=3)
    for name, answers in THREE.items():
        rate(people, queue, name, answers, Remarks(seconds=10.0 if name == "Ada" else None))
    return queue


def of(quality: QueueQuality, name: str) -> tuple[float | None, int]:
    [rater] = [rater for rater in quality.raters if rater.name == name]
    return (None, 0) if rater.with_others is None else (rater.with_others.value, rater.with_others.n)


def test_people_with_each_other(people: Database, three: Queue) -> None:
    """Shares of agreeing pairs: 1, 1/3, 1/3, 0. Alpha: D_o = 6/11, D_e = 62/110 with 7 a, 3 b and 1 tie."""
    quality = measure(opinions(people, three), [])
    assert quality.people.pairwise is not None
    assert quality.people.pairwise.value == pytest.approx(5 / 12)
    assert quality.people.alpha == pytest.approx(1 - 60 / 62)
    assert (quality.people.rows, quality.people.opinions) == (4, 11)
    assert [(row.id, row.opinions) for row in quality.disputed] == [
        ("r3", {"tie": 1, "a": 1}),
        ("r1", {"a": 2, "b": 1}),
        ("r2", {"b": 2, "a": 1}),
    ]
    assert [n for n, _ in quality.so_far] == [1, 2, 3, 4]
    assert quality.so_far[-1][1] == quality.people.pairwise


def test_each_rater_with_the_majority_of_the_others(people: Database, three: Queue) -> None:
    """Where the others are split, nothing is counted. Ada: r0 yes, r3 no. Ben: r0 yes, r1 and r3 no. Cy: r0 yes,
    r2 no.
    """
    quality = measure(opinions(people, three), [])
    assert of(quality, "Ada") == (0.5, 2)
    assert of(quality, "Ben") == (pytest.approx(1 / 3), 3)
    assert of(quality, "Cy") == (0.5, 2)
    [ada, _, cy] = quality.raters
    assert (ada.rated, ada.seconds, cy.cannot_tell, cy.seconds) == (4, 10.0, 1, None)


def test_each_rater_and_the_majority_with_a_judge(people: Database, three: Queue) -> None:
    """The judge: r0 a, r1 b, r2 undecided, r3 a. Majorities: a, a, b, none: 1, 0, 1/2. Ben: 1, 1, 1/2, 1."""
    said = opinions(people, three)
    p_a = dict(zip(said.items, (0.9, 0.4, 0.5, 0.8), strict=True))
    quality = measure(said, [Verdicts("judge", "labels", {(item, (0, 1)): p for item, p in p_a.items()})])
    [judge] = quality.judges
    assert judge.aligned is not None
    assert (judge.aligned.value, judge.aligned.n) == (0.5, 3)
    with_judge = {rater.name: rater.with_judges[0] for rater in quality.raters}
    shares = {name: estimate and (estimate.value, estimate.n) for name, estimate in with_judge.items()}
    assert shares == {"Ada": (0.5, 3), "Ben": (0.875, 4), "Cy": (0.5, 3)}


def test_what_cannot_be_measured_is_none(people: Database) -> None:
    queue = make_queue(people, comparisons(6))
    nothing = measure(opinions(people, queue), [])
    assert (nothing.people.pairwise, nothing.people.alpha, nothing.raters) == (None, None, ())
    rate(people, queue, "Ada", {"r0": "a", "r1": "cannot_tell", "r2": "skip"})
    quality = measure(opinions(people, queue), [Verdicts("judge", "labels", {})])
    [ada] = quality.raters
    assert (ada.with_others, ada.repeated, ada.known, ada.with_judges) == (None, None, None, (None,))
    assert quality.judges[0].aligned is None
    assert quality.unanswered.model_dump() == {"cannot_tell": 1, "skipped": 1, "open": 1}


def test_the_interval_narrows_as_opinions_come_in(people: Database) -> None:
    queue = make_queue(people, comparisons(60), raters_per_row=2)
    for name in ("Ada", "Ben"):
        rate(people, queue, name, {f"r{i}": "b" if name == "Ben" and i % 5 == 0 else "a" for i in range(60)})
    widths = [
        e.high - e.low
        for _, e in measure(opinions(people, queue), []).so_far
        if e.high is not None and e.low is not None
    ]
    assert len(widths) == 12
    assert widths[-1] < 0.5 * widths[0]


def test_repeated_and_control_rows(people: Database) -> None:
    """Ada says "b" in place of "a" when the first row comes again; of 3 known answers she misses one."""
    rows = comparisons(30)
    items = [NewItem(row) for row in rows] + [NewItem({**rows[0], "id": f"k{i}"}, {"choice": "a"}) for i in range(3)]
    queue = create(people, "q", "compare", items, source="", guidelines=Guidelines(), repeat_share=0.3)
    answers = {f"r{i}": "a" for i in range(30)} | {"k0": "a", "k1": "b", "k2": "a"}
    said = rate(people, queue, "Ada", answers)
    first = next(row for row in _next(people, queue))
    said += rate(people, queue, "Ada", answers | {first: "b"} | {f"r{i}*": "a" for i in range(30) if f"r{i}*" != first})
    repeats = sum(name.endswith("*") for name in said)
    [ada] = measure(opinions(people, queue), []).raters
    assert ada.known is not None
    assert (ada.known.value, ada.known.n) == (pytest.approx(2 / 3), 3)
    assert ada.repeated is not None
    assert (ada.repeated.value, ada.repeated.n) == (pytest.approx(1 - 1 / repeats), repeats)
    assert ada.rated == 30


def _next(people: Database, queue: Queue) -> list[str]:
    """The repeated row that is on Ada's screen."""
    records = people.all(
        "SELECT json_extract(row, '$.id') AS id FROM assignments JOIN items ON items.id = item "
        "WHERE repeat AND queue = ? AND NOT EXISTS (SELECT 1 FROM ratings WHERE assignment = assignments.id)",
        queue.id,
    )
    return [f"{record['id']}*" for record in records]


def test_rankings(people: Database) -> None:
    """1 2 3 and 1 3 2: of three pairs two agree; rank sums 2, 5, 5, so S = 6 and W = 72 / 96."""
    row: JsonObject = {"id": "k", "prompt": "q", "responses": ["x", "y", "z"]}
    queue = create(people, "q", "rank", [NewItem(row)], source="", guidelines=Guidelines(), raters_per_row=2)
    rate(people, queue, "Ada", {"k": (1, 2, 3)})
    rate(people, queue, "Ben", {"k": (1, 3, 2)})
    said = opinions(people, queue)
    quality = measure(said, [Verdicts("judge", "labels", {(next(iter(said.items)), (1, 2)): 0.7})])
    assert quality.people.kind == "rankings"
    assert quality.people.pairwise is not None
    assert quality.people.pairwise.value == pytest.approx(2 / 3)
    assert quality.people.w is not None
    assert quality.people.w.value == pytest.approx(0.75)
    assert of(quality, "Ada") == (pytest.approx(2 / 3), 3)
    assert [r.with_judges[0] and r.with_judges[0].value for r in quality.raters] == [1.0, 0.0]
    assert [(row.id, row.agreement) for row in quality.disputed] == [("k", pytest.approx(2 / 3))]


def test_verdicts_are_found_in_folders_of_labels_whichever_way_round(people: Database, tmp_path: Path) -> None:
    rows = comparisons(6)
    label(rows, judges="scripted:random", out=tmp_path / "work" / "labels", progress=Silence())
    library = Library([tmp_path / "work"])
    [work] = library.works("labels")
    sampled = list(sample_of_labels(work, 5, 0).rows)
    turned = {**sampled[0], "response_a": sampled[0]["response_b"], "response_b": sampled[0]["response_a"]}
    other = {**sampled[1], "response_a": "something else"}
    queue = make_queue(people, [turned, other, *sampled[2:]])
    said = opinions(people, queue)
    judges = Judges(library)
    [verdicts] = judges.of(said)
    judged = {row.id: row.p_a for row in Outcomes(work.path).preference_rows()}
    by_id = {str(said.items[item].row["id"]): p for (item, _), p in verdicts.p_a.items()}
    assert by_id == {
        str(turned["id"]): pytest.approx(1 - judged[str(turned["id"])]),
        **{str(row["id"]): pytest.approx(judged[str(row["id"])]) for row in sampled[2:]},
    }
    assert verdicts.judge.startswith("scripted")
    assert judges.of(said) == [verdicts]
    assert judges.of(opinions(people, make_queue(people, comparisons(1), name="other"))) != [verdicts]


def test_an_evaluations_judge_is_compared_on_ranked_policies(people: Database, tmp_path: Path) -> None:
    policies = {
        name: [{"prompt": f"q{i}", "response": f"{name} {i}"} for i in range(4)] for name in ("old", "new", "third")
    }
    prompts = [{"prompt": f"q{i}"} for i in range(4)]
    out = tmp_path / "work" / "evaluation"
    evaluate(policies, prompts=prompts, judge="scripted:random", out=out, progress=Silence())
    library = Library([tmp_path / "work"])
    [work] = library.works("evaluation")
    rows = several_policies(work, ["old", "third"], 4, 0).rows
    queue = create(people, "k", "rank", list(map(NewItem, rows)), source="", guidelines=Guidelines())
    said = opinions(people, queue)
    [verdicts] = Judges(library).of(said)
    judged = {
        (row.prompt[0].content, *row.policies): row.p_a for row in Outcomes(out / "judged").preference_rows()
    }  # response a is the later policy's
    assert dict(verdicts.p_a) == {
        (item.id, (0, 1)): pytest.approx(1 - judged[str(item.row["prompt"]), "third", "old"])
        for item in said.items.values()
    }
