"""Estimating how often people prefer a response, from a judge's labels of many comparisons and people's of a few."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from preceptor.core.errors import UsageError, nearest
from preceptor.core.hashing import unit_hash
from preceptor.core.validation import check_count
from preceptor.evaluation.judges.prediction_powered import (
    JudgedRow,
    labels_for_width,
    plan_probabilities,
    prediction_powered,
    sampling_plan,
)
from preceptor.reports.estimate import render_estimate
from preceptor.results.estimate import EstimateResult, Matches
from preceptor.store.comparisons import ComparisonRow, read_comparisons
from preceptor.store.files import write_rows, write_text
from preceptor.store.for_people import FILE as FOR_PEOPLE
from preceptor.store.for_people import check_unlabelled, question, selections
from preceptor.store.in_memory import name_of
from preceptor.store.output import Output, output_folder
from preceptor.store.own_folder import check_own, working_in
from preceptor.store.preference_row import NO_POLICY, PreferenceRow
from preceptor.store.rows import Malformed, Row, read_raw_rows
from preceptor.store.selection import DISPUTED, NOT_SAID, Selection
from preceptor.store.tabular import Rows, rows_as_file
from preceptor.tasks.labels_chosen import Asked, Label, usable_labels


def estimate(
    judged: Rows,
    *,
    people: "Rows | None" = None,
    policy: str | None = None,
    half_width: float = 0.05,
    plan: int = 0,
    sample: str | None = None,
    out: str | Path | None = None,
) -> EstimateResult:
    """How often people prefer a response, from a judge's labels of many comparisons and people's of a few.

    Examples:
        >>> pairs = [{"id": f"c{i}", "prompt": f"q{i}", "response_a": "x", "response_b": "y"} for i in range(30)]
        >>> labels = label(pairs, judges="scripted:random")
        >>> people = [pair | {"label": "a"} for pair in pairs[:12]]
        >>> estimate(labels.path, people=people, sample="random").estimates.human_only.value
        1.0

    Args:
        judged: preference rows as `label` writes them, or the folder of a labelling.
        people: comparisons with people's labels, by the same ids; None if the judged rows hold people's labels.
        policy: how often this policy's response is preferred; None for response a.
        half_width: half the width of the desired interval, between 0 and 0.5.
        plan: write this many comparisons to `for_people.jsonl` for people to label next; 0 writes none.
        sample: "random" if the labelled comparisons are a random sample and do not say so themselves.
        out: folder for `estimate.json`, `report.html` and `for_people.jsonl`. Without it, only `plan` writes, to a
            temporary folder.

    Raises: UsageError on faulty input: no label matches, no response is by that policy, or labels would be overwritten.
    """
    check_count("plan", plan, 0)
    if not 0 < half_width < 0.5:
        raise UsageError(f"half_width {half_width}: expected a number between 0 and 0.5, such as 0.05")
    output = output_folder(out) if out is not None or plan else None
    if output is not None:
        check_own(output.path, "estimate")
    if output is not None and plan:
        check_unlabelled(output.path / FOR_PEOPLE)
    with TemporaryDirectory() as folder:
        file = _file(rows_as_file(judged, Path(folder), name="judged.jsonl", given="the judged rows given"))
        given = "the rows given as people"
        labels = None if people is None else rows_as_file(people, Path(folder), name="people.jsonl", given=given)
        result, questions = _estimate(file, labels, policy, half_width, plan, sample, output)
    return result if output is None else _written(result, questions, output, _title(judged))


def _estimate(
    file: Path,
    labels: Path | None,
    policy: str | None,
    half_width: float,
    plan: int,
    sample: str | None,
    output: Output | None,
) -> tuple[EstimateResult, list[Row]]:
    """The estimate and the comparisons for people to label next."""
    people = None if labels is None else read_people(labels)
    judged = enumerate(_judged(file))
    asked = [row for position, labelled in judged if (row := _asked(position, labelled, policy, people)) is not None]
    if not asked:
        raise UsageError(_nothing_asked(file, policy))
    matches = None if people is None or labels is None else people.matches(labels, file)
    written = selections(file.parent / FOR_PEOPLE) | (selections(output.path / FOR_PEOPLE) if output else {})
    usable = usable_labels(asked, file, labels, sample, written)
    planned = _in_order(sampling_plan(usable.rows, plan), usable.rows)
    result = EstimateResult(
        preferred=policy or "response a",
        comparisons=len(usable.rows),
        estimates=prediction_powered(usable.rows),
        labels=labels_for_width(usable.rows, half_width),
        people=matches and matches.model_copy(update={"disputed": usable.disputed}),
        chosen=usable.chosen,
        for_people=len(planned) if plan else None,
    )
    chances = [Selection("planned", round(p, 9)) for p in plan_probabilities(usable.rows, planned)]
    return result, _questions(file, [asked[i].position for i in planned], chances)


def _in_order(plan: Sequence[int], rows: Sequence[JudgedRow]) -> list[int]:
    """The plan in an order of which any beginning represents all comparisons with the plan's probabilities, so that
    people may stop early: its own if these are equal. Otherwise its beginning has too few comparisons of prompts with
    many, so it is shuffled.
    """
    if len({round(p, 9) for p in plan_probabilities(rows, plan)}) < 2:
        return list(plan)
    return sorted(plan, key=lambda i: unit_hash("order for people", rows[i].id))


def _written(result: EstimateResult, questions: Sequence[Row], output: Output, title: str) -> EstimateResult:
    with working_in(output.path, "estimate"):
        result = result.save(output)
        write_text(result.report, render_estimate(result, title))
        if questions:
            write_rows(output.path / FOR_PEOPLE, questions)
    return result


@dataclass
class PeoplesLabels:
    """People's labels by comparison, and which of them were used."""

    by_id: dict[str, list[ComparisonRow]] = field(default_factory=dict[str, list[ComparisonRow]])
    malformed: int = 0
    used: set[int] = field(default_factory=set[int])
    """Numbers of rows that were matched."""
    differing: set[int] = field(default_factory=set[int])
    """Numbers of rows whose responses differ from the judged ones."""

    def of(self, judged: PreferenceRow) -> Label | None:
        """The share of people who prefer response a of a judged comparison, whichever response they saw as a; the mean
        over several rows with one id. None if nobody labelled it.
        """
        shares: list[float] = []
        chosen: list[Selection] = []
        for row in self.by_id.get(judged.id, ()):
            assert row.human is not None  # read_people
            shown = (row.comparison.a.messages, row.comparison.b.messages)
            if shown in (judged.responses, judged.responses[::-1]):
                shares.append(row.human.p_a if shown == judged.responses else 1.0 - row.human.p_a)
                chosen.append(row.selection)
                self.used.add(row.number)
            else:
                self.differing.add(row.number)
        return Label(sum(shares) / len(shares), DISPUTED if DISPUTED in chosen else chosen[0]) if shares else None

    def matches(self, path: Path, judged: Path) -> Matches:
        """Counts how the rows matched.

        Raises: UsageError when none can be used.
        """
        rows = [row for group in self.by_id.values() for row in group]
        differing = self.differing - self.used
        if not self.used:
            why = "their responses differ" if differing else f'their ids differ, such as "{rows[0].comparison.id}"'
            raise UsageError(
                f"{name_of(path)}: none of the {len(rows)} labels matches a comparison in {name_of(judged)}: {why}; "
                "have people label the rows that a plan writes, which keep ids and responses"
            )
        return Matches(
            labelled=len(rows),
            malformed=self.malformed,
            unknown=len(rows) - len(self.used) - len(differing),
            other_responses=len(differing),
        )


def read_people(path: Path) -> PeoplesLabels:
    """The comparisons labelled by people; rows without a label are left out.

    Raises: UsageError when there is none.
    """
    people = PeoplesLabels()
    first: Malformed | None = None
    for row in read_comparisons(path):
        if isinstance(row, Malformed):
            people.malformed += 1
            first = first or row
        elif row.human is not None:
            people.by_id.setdefault(row.comparison.id, []).append(row)
    if not people.by_id:
        unlabelled = f'{name_of(path)}: no row has a "label" or "ratings" of people'
        raise UsageError(f"{first.place}: {first.reason}" if first else unlabelled)
    return people


def _title(judged: Rows) -> str:
    """What the report calls the judged rows."""
    return Path(judged).name if isinstance(judged, str | os.PathLike) else "rows in memory"


def _asked(position: int, judged: PreferenceRow, policy: str | None, people: PeoplesLabels | None) -> Asked | None:
    """The comparison in the form that the estimate needs; None if it says nothing about the policy."""
    a_is_meant = True if policy is None else judged.a_is_by(policy)
    if a_is_meant is None:
        return None
    label = None if people is None else people.of(judged)
    if label is None and judged.human_p_a is not None:
        label = Label(judged.human_p_a, judged.chosen_by)
    human = None if label is None else label.p_a if a_is_meant else 1.0 - label.p_a
    row = JudgedRow(
        id=judged.id,
        prompt_id=judged.prompt_id,
        cohort=judged.cohort,
        judge=judged.p_a if a_is_meant else 1.0 - judged.p_a,
        human=human,
    )
    return Asked(position, row, judged.chosen_by, NOT_SAID if label is None else label.selection)


def _judged(file: Path) -> Iterator[PreferenceRow]:
    return (PreferenceRow.read(row, place) for place, row in read_raw_rows(file))


def _file(path: Path) -> Path:
    """The rows of a folder of labels, or the file itself."""
    inside = path / "preferences.jsonl"
    return inside if inside.is_file() else path


def _nothing_asked(file: Path, policy: str | None) -> str:
    if policy is None:
        return f"{name_of(file)}: there are no rows"
    names = {name for judged in _judged(file) for name in judged.policies} - {NO_POLICY}
    if policy in names:
        return f'{name_of(file)}: every comparison of "{policy}" is with its own responses'
    return f'{name_of(file)}: no comparison has a response of the policy "{policy}"; ' + (
        nearest(policy, names) if names else "its rows name no policies; name no policy to estimate for response a"
    )


def _questions(file: Path, positions: Sequence[int], chosen: Sequence[Selection]) -> list[Row]:
    """The rows for people to label: the comparisons at these positions of the file, in this order, each with how it was
    chosen.
    """
    rank = {position: i for i, position in enumerate(positions)}
    rows: dict[int, Row] = {}
    for position, judged in enumerate(_judged(file) if positions else ()):
        if position in rank:
            rows[rank[position]] = question(judged, chosen[rank[position]])
    return [rows[i] for i in range(len(positions))]
