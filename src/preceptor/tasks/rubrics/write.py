"""Writing rubrics for prompts with a model, and keeping the items that work."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from preceptor.backends.base import LanguageModel
from preceptor.backends.connection import Connection
from preceptor.backends.names import check_name
from preceptor.backends.resolve import check_batch, open_model
from preceptor.core.environment import environment
from preceptor.core.errors import PreceptorError
from preceptor.core.progress import Progress
from preceptor.core.rubric import Rubric, RubricItem
from preceptor.core.types import JsonObject, JudgeFailure, Prompt, Response, Usage
from preceptor.core.validation import check_count, check_dollars, settings_of
from preceptor.display.progress import shown
from preceptor.judging.recorded import RecordedModel
from preceptor.judging.rubrics.aggregate import RubricScore
from preceptor.judging.rubrics.items import check_rubrics
from preceptor.judging.rubrics.judge import RubricJudge
from preceptor.judging.rubrics.keeping import LEAST_CANDIDATES, LEAST_LABELS, flips
from preceptor.judging.rubrics.writing import RubricWriter, Written
from preceptor.judging.settings import RubricSettings
from preceptor.judging.specs import check_prices
from preceptor.results.rubrics import (
    FAILURES,
    ITEMS,
    ROWS,
    WITHOUT,
    RubricsPlan,
    RubricsResult,
    RubricWritingSettings,
    count_reasons,
)
from preceptor.store.batches import BatchFolder
from preceptor.store.files import write_rows
from preceptor.store.ledger import Ledger
from preceptor.store.output import Output, output_folder
from preceptor.store.own_folder import check_own, working_in
from preceptor.store.tabular import Rows, rows_as_file
from preceptor.tasks.candidates import Answering, candidate_rater, sample_responses
from preceptor.tasks.rubrics.cases import Case, Read, placed, read_cases
from preceptor.tasks.rubrics.trials import (
    Tried,
    candidates_of,
    robust,
    rubric_of_kept,
    told_apart,
    with_people,
    without_repetitions,
)

ESTIMATED_ON = 50
"""A plan counts the tokens of this many prompts and extrapolates from them."""


def write_rubrics(
    rows: Rows,
    *,
    model: str = "embedded",
    judge: str | None = None,
    out: str | Path | None = None,
    settings: RubricWritingSettings | Mapping[str, Any] | None = None,
    limit: int | None = None,
    budget: float | None = None,
    connection: Connection | Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> RubricsResult:
    """Has a model write a rubric for each prompt, tries every item, and keeps those that work.

    An item is dropped if it repeats another one, if all or none of the candidate responses meet it, if it is judged
    otherwise in other words, or if it contradicts people's labels; see `preceptor.judging.rubrics.keeping`. A prompt's
    earlier rubric is tried with the new items, and the new rubric is one version above it.

    The folder's ledger records every call, so calling this again resumes the work. Writes `rubrics.jsonl` (the rows
    given, each with its rubric), `without_rubric.jsonl` (the rows whose prompts have none), `items.jsonl` (every item
    and what became of it), `failures.jsonl` and `summary.json`.

    Args:
        rows: prompts, or comparisons, whose responses and labels are used: the model sees the first labelled pair of a
            prompt, and the other pairs test the items.
        model: a model string; it writes the items and their rephrasings, and samples the responses that are lacking.
        judge: the model that judges the items; the same by default.
        out: folder of the output; a temporary one by default, which is deleted with the result.
        settings: number of items and candidates; `RubricWritingSettings`, or a dict of them.
        limit: how many rows to use, from the first.
        budget: the most dollars that all calls of this folder may cost.
        connection: how model servers are reached.
        progress: by default a bar on a terminal, and lines elsewhere.

    Raises: UsageError on faulty input; PreceptorError when nothing could be written.
    """
    for name in (model, judge or model):
        check_name(name)
    check_count("limit", limit)
    check_dollars("budget", budget)
    settings = settings_of("settings", RubricWritingSettings, settings) or RubricWritingSettings()
    connection = settings_of("connection", Connection, connection)
    output = output_folder(out)
    folder = output.path
    check_own(folder, "rubrics")
    read = read_cases(placed(rows, folder, "rubrics", text_column="prompt"), limit)
    check_rubrics([case.prompt for case in read.cases if case.prompt.rubric is not None])
    with (
        shown(progress) as display,
        working_in(folder, "rubrics"),
        Ledger(folder / "ledger.sqlite", budget) as ledger,
    ):
        display.stage("opening the models")
        check_batch(connection, [model, judge or model])
        opened = open_model(model, connection, batches=BatchFolder.beside(ledger))
        judging = opened if judge is None else open_model(judge, connection, batches=BatchFolder.beside(ledger))
        check_prices(budget, [opened, judging])
        work = Work.of(opened, judging, ledger, settings)
        display.stage("writing and trying")
        return write_on(read, work, ledger, output, display)


def plan_rubrics(
    rows: Rows,
    *,
    model: str = "embedded",
    judge: str | None = None,
    settings: RubricWritingSettings | Mapping[str, Any] | None = None,
    limit: int | None = None,
    connection: Connection | Mapping[str, Any] | None = None,
) -> RubricsPlan:
    """Estimates what `write_rubrics` would need at most, without calling a model.

    Args: as for `write_rubrics`.
    Raises: UsageError on faulty input.
    """
    settings = settings_of("settings", RubricWritingSettings, settings) or RubricWritingSettings()
    connection = settings_of("connection", Connection, connection)
    scratch = output_folder(None)
    read = read_cases(Path(rows_as_file(rows, scratch.path, text_column="prompt")), limit)
    with Ledger(Path(":memory:")) as ledger:
        opened = open_model(model, connection, unasked=True)
        judging = opened if judge is None else open_model(judge, connection, unasked=True)
        work = Work.of(opened, judging, ledger, settings)
        bills = [work.most(case) for case in read.cases[:ESTIMATED_ON]]
    scale = len(read.cases) / len(bills)
    prices = [opened.price, judging.price]
    costs = [sum(p.cost(u) for p, (_, u) in zip(prices, bill, strict=True) if p is not None) for bill in bills]
    usages = [usage for bill in bills for _, usage in bill]
    return RubricsPlan(
        prompts=len(read.cases),
        malformed=len(read.malformed),
        calls=round(scale * sum(calls for bill in bills for calls, _ in bill)),
        prompt_tokens=round(scale * sum(usage.prompt_tokens for usage in usages)),
        completion_tokens=round(scale * sum(usage.completion_tokens for usage in usages)),
        cost_usd=None if None in prices else scale * sum(costs),
        estimated_on=len(bills),
    )


@dataclass(frozen=True)
class Proposed:
    """A prompt's items after they were tried on its candidates."""

    items: list[Tried]
    malformed: int
    """Items of the model's answer that could not be read."""


@dataclass(frozen=True)
class Work:
    """The models at work: a writer, who also answers the prompts, and a judge."""

    writer: RubricWriter
    policy: RecordedModel
    judge: RubricJudge
    settings: RubricWritingSettings
    scores: list[JudgeFailure | None] = field(default_factory=list[JudgeFailure | None])
    """For each time that a response was judged: why no item got a verdict; None if one did."""

    @classmethod
    def of(cls, model: LanguageModel, judge: LanguageModel, ledger: Ledger, settings: RubricWritingSettings) -> "Work":
        """The work of two models."""
        policy = RecordedModel(model, ledger, candidate_rater(model.identity))
        judging = RubricJudge(judge, ledger, RubricSettings(failed_items="leave_out"))
        return cls(RubricWriter(model, ledger, settings.items), policy, judging, settings)

    def propose(self, cases: Sequence[Case]) -> list[Proposed | JudgeFailure]:
        """The items of each prompt, written and tried; a failure where nothing could be written."""
        written = self.writer.write([case.material for case in cases])
        sampled = self._sampled(cases)
        results: list[Proposed | JudgeFailure] = []
        begun: list[tuple[Case, list[Response], list[Tried]]] = []
        for case, answer, responses in zip(cases, written, sampled, strict=True):
            old = () if case.prompt.rubric is None else case.prompt.rubric.items
            if isinstance(answer, JudgeFailure):
                results.append(answer)
                continue
            tried = without_repetitions([*old, *_items(case, answer)])
            begun.append((case, candidates_of(case, responses, self.settings.candidates), tried))
            results.append(Proposed(tried, answer.malformed))
        finished = iter(self._rephrased(self._told_apart(begun)))
        return [
            each if isinstance(each, JudgeFailure) else Proposed(next(finished)[2], each.malformed) for each in results
        ]

    def _sampled(self, cases: Sequence[Case]) -> list[list[Response]]:
        """Further responses to each prompt, as many as it lacks."""
        lacking = [max(0, self.settings.candidates - len(case.responses)) for case in cases]
        found: dict[int, list[Response]] = {}
        for count in sorted({lack for lack in lacking if lack}):
            where = [i for i, lack in enumerate(lacking) if lack == count]
            how = Answering(samples=count, max_new_tokens=self.settings.max_new_tokens, seed=self.settings.seed)
            answers = sample_responses(self.policy, [cases[i].prompt for i in where], how)
            for i, given in zip(where, answers, strict=True):
                found[i] = [response for response in given if isinstance(response, Response)]
        return [found.get(i, []) for i in range(len(cases))]

    def _told_apart(self, begun: Sequence["_Begun"]) -> list["_Begun"]:
        """The items with the verdicts on the candidates; prompts with fewer than two candidates stay as they are."""
        asked = [[t.item for t in tried if t.reason is None] for _, _, tried in begun]
        verdicts = iter(self._verdicts([(case, c, items) for (case, c, _), items in zip(begun, asked, strict=True)]))
        results: list[_Begun] = []
        for case, candidates, tried in begun:
            met_IC = iter(next(verdicts))
            judged = len(candidates) >= LEAST_CANDIDATES
            new = [told_apart(t, next(met_IC)) if t.reason is None and judged else t for t in tried]
            results.append((case, candidates, new))
        return results

    def _rephrased(self, begun: Sequence["_Begun"]) -> list["_Begun"]:
        """The items that tell candidates apart, with the verdicts on their rephrasings."""
        places = [(i, j) for i, (_, _, tried) in enumerate(begun) for j, t in enumerate(tried) if _can_be_rephrased(t)]
        words = self.writer.rephrase([begun[i][2][j].item.criterion for i, j in places])
        new: dict[tuple[int, int], str] = {p: w for p, w in zip(places, words, strict=True) if isinstance(w, str)}
        asked: list[tuple[Case, list[Response], list[RubricItem]]] = []
        for i, (case, candidates, tried) in enumerate(begun):
            renamed = [(tried[j].item, new[i, j]) for j in range(len(tried)) if (i, j) in new]
            asked.append((case, candidates, [item.model_copy(update={"criterion": word}) for item, word in renamed]))
        verdicts = [iter(met_IC) for met_IC in self._verdicts(asked)]
        return [
            (case, c, [robust(t, new[i, j], next(verdicts[i])) if (i, j) in new else t for j, t in enumerate(tried)])
            for i, (case, c, tried) in enumerate(begun)
        ]

    def _verdicts(
        self, asked: Sequence[tuple[Case, list[Response], list[RubricItem]]]
    ) -> list[list[list[float | None]]]:
        """The probability that each candidate meets each item, prompts × items × candidates."""
        shown = [(_with(case.prompt, items), candidates) for case, candidates, items in asked if items]
        judged = self.judge.score([(prompt, response) for prompt, given in shown for response in given])
        self.scores.extend(score if isinstance(score, JudgeFailure) else None for score in judged)
        scores = iter(judged)
        results: list[list[list[float | None]]] = []
        for _, candidates, items in asked:
            met_CI = [next(scores) for _ in candidates] if items else []
            results.append([[_met(score, i) for score in met_CI] for i in range(len(items))])
        return results

    def most(self, case: Case) -> tuple[tuple[int, Usage], tuple[int, Usage]]:
        """Calls and tokens that a prompt takes at most: of the writer, who also answers, and of the judge."""
        count, settings = self.writer.model.model.count_tokens, self.settings
        lacking, longest = max(0, settings.candidates - len(case.responses)), "word " * settings.max_new_tokens
        writing, rephrasing = self.writer.request(case.material), self.writer.rephrasing(LONGEST)
        sampled = [Response(prompt_id=case.prompt.id, text=longest)] * lacking
        candidates = candidates_of(case, sampled, settings.candidates)
        own = Usage(
            prompt_tokens=count(writing.prompt)
            + lacking * count(case.prompt.conversation)
            + settings.items * count(rephrasing.prompt),
            completion_tokens=writing.max_new_tokens
            + lacking * settings.max_new_tokens
            + settings.items * rephrasing.max_new_tokens,
        )
        old = () if case.prompt.rubric is None else case.prompt.rubric.items
        items = [*old, *[RubricItem(criterion=LONGEST)] * settings.items]
        demand = self.judge.demand([(_with(case.prompt, items), response) for response in candidates])
        twice = Usage(
            prompt_tokens=2 * demand.usage.prompt_tokens, completion_tokens=2 * demand.usage.completion_tokens
        )
        return (1 + lacking + settings.items, own), (2 * demand.calls, twice)


LONGEST = "word " * 30
"""A criterion of the length that a plan assumes."""
_Begun = tuple[Case, list[Response], list[Tried]]
"""A prompt, its candidates, and its items as far as they were tried."""


def _items(case: Case, answer: Written) -> list[RubricItem]:
    tag = f"written from {case.material.source}"
    return [RubricItem(criterion=p.criterion, points=float(p.points), tags=(tag,)) for p in answer.proposals]


def _met(score: RubricScore | JudgeFailure, position: int) -> float | None:
    """The probability that a response meets an item; None without a verdict."""
    return None if isinstance(score, JudgeFailure) else score.items[position].met


def _can_be_rephrased(tried: Tried) -> bool:
    return tried.reason is None and tried.trial is not None and tried.item.checked_by in ("judge", "reference")


def _with(prompt: Prompt, items: Sequence[RubricItem]) -> Prompt:
    """The prompt with these items as its rubric. Only verdicts are asked for, so faults may stand alone."""
    asked = [item.model_copy(update={"points": abs(item.points)}) for item in items]
    return prompt.model_copy(update={"rubric": Rubric(items=tuple(asked))})


def write_on(read: Read, work: Work, ledger: Ledger, output: Output, progress: Progress) -> RubricsResult:
    """Writes and tries the rubrics of all prompts, and then the files.

    Raises: PreceptorError when nothing could be written for any prompt.
    """
    outcomes: list[Proposed | JudgeFailure] = []
    at_once = 4 * work.writer.model.model.concurrency
    for start in range(0, len(read.cases), at_once):
        outcomes += work.propose(read.cases[start : start + at_once])
        progress.advance(len(outcomes), len(read.cases))
    return _result(read, outcomes, work, ledger, output)


def _result(
    read: Read, outcomes: Sequence[Proposed | JudgeFailure], work: Work, ledger: Ledger, output: Output
) -> RubricsResult:
    """Writes the rows, the items and the failures, and returns the result.

    Raises: PreceptorError when nothing could be written for any prompt.
    """
    proposed = [each for each in outcomes if isinstance(each, Proposed)]
    failures = list(_failures(read.cases, outcomes))
    if not proposed:
        raise PreceptorError(f"no rubric could be written: {failures[0]['reason']}: {failures[0]['detail']}")
    tried_P = with_people(read.cases, [each.items if isinstance(each, Proposed) else [] for each in outcomes])
    rubrics = [rubric_of_kept(case.prompt.rubric, tried) for case, tried in zip(read.cases, tried_P, strict=True)]
    failed = [isinstance(each, JudgeFailure) for each in outcomes]
    after = [c.prompt.rubric if f else r for c, r, f in zip(read.cases, rubrics, failed, strict=True)]
    items = [tried.outcome(case.prompt.id) for case, each in zip(read.cases, tried_P, strict=True) for tried in each]
    with_rubric, without = read.with_rubrics(after)
    write_rows(output.path / ROWS, with_rubric)
    write_rows(output.path / WITHOUT, without)
    write_rows(output.path / ITEMS, [item.model_dump(mode="json") for item in items])
    write_rows(output.path / FAILURES, failures)
    silent = [failure for failure in work.scores if failure is not None]
    kept = [tried for each in tried_P for tried in each if tried.reason is None]
    lost = [tried for each, rubric in zip(tried_P, rubrics, strict=True) if rubric is None for tried in each]
    result = RubricsResult(
        prompts=len(read.cases),
        malformed=len(read.malformed),
        with_rubric=sum(rubric is not None for rubric in after),
        failed=sum(failed),
        written=len(items),
        malformed_items=sum(each.malformed for each in proposed),
        kept=len(kept),
        dropped=count_reasons(items),
        not_tried=sum(tried.trial is None for tried in kept),
        not_rephrased=sum(_can_be_rephrased(t) and t.trial is not None and not flips(t.trial)[1] for t in kept),
        not_compared_with_people=sum(len(tried.people) < LEAST_LABELS for tried in kept),
        lost_to_faults=sum(tried.reason is None for tried in lost),
        judged=len(work.scores),
        without_verdict=len(silent),
        why_without_verdict=silent[0].detail if silent else None,
        writer=work.writer.model.identity,
        judge=work.judge.rater,
        settings=work.settings,
        ledger=ledger.totals(),
        notes=tuple(ledger.notes()),
        environment=environment(),
    )
    return result.save(output)


def _failures(cases: Sequence[Case], outcomes: Sequence[Proposed | JudgeFailure]) -> list[JsonObject]:
    return [
        {"id": case.prompt.id, "reason": outcome.reason, "detail": outcome.detail}
        for case, outcome in zip(cases, outcomes, strict=True)
        if isinstance(outcome, JudgeFailure)
    ]
