"""Tuning: rewords a constitution against people's labels, and measures the result on rows that nothing else used."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from preceptor.backends.base import LanguageModel
from preceptor.backends.connection import Connection
from preceptor.backends.resolve import open_model
from preceptor.core.environment import environment
from preceptor.core.errors import UsageError
from preceptor.core.extras import TUNE, require
from preceptor.core.hashing import unit_hash
from preceptor.core.progress import Progress
from preceptor.core.raters import ConstitutionName
from preceptor.core.types import Preference
from preceptor.core.validation import check_count
from preceptor.display.log import logged, source
from preceptor.display.progress import shown
from preceptor.evaluation.judges.agreement import correctness, difference_by_prompt, share_by_prompt
from preceptor.judging.constitution import Constitution, load_constitution
from preceptor.judging.judges import Judges, one_judge, shared_budget, shared_connection
from preceptor.judging.kept import constitution_toml, keep_constitutions
from preceptor.judging.pairwise import PairwiseJudge
from preceptor.judging.rewording import Rewriter, parts_of, with_parts
from preceptor.judging.specs import JudgeSpec, check_prices
from preceptor.results.tuning import TUNED, TuneResult, Wording
from preceptor.runs.inputs import data_path
from preceptor.store.batches import BatchFolder
from preceptor.store.calls import in_words
from preceptor.store.comparisons import ComparisonRow
from preceptor.store.files import write_text
from preceptor.store.ledger import Ledger
from preceptor.store.output import output_folder
from preceptor.store.own_folder import check_own, working_in
from preceptor.store.tabular import Rows, rows_as_file
from preceptor.tasks.audit import read_labelled
from preceptor.tasks.tune.search import ConstitutionAdapter, Found, Parts, majority_of, search

LEAST_ROWS = 20
"""With fewer rows, no part of them could show anything."""
LEARNING, VALIDATION = 0.35, 0.3
"""Shares of the prompts that are learnt from, and that choose; the others are for the test."""


def tune(
    rows: Rows,
    *,
    judge: Judges,
    writer: str | None = None,
    out: str | Path | None = None,
    comparisons: int = 600,
    limit: int | None = None,
    seed: int = 0,
    budget: float | None = None,
    connection: Connection | Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> TuneResult:
    """Rewords the constitution of a judge so that it agrees more with people, by GEPA.

    The prompts are split by a hash: some are learnt from, some choose among the wordings, and the rest are judged
    once, at the end, by the original and the best wording. The folder's ledger records every call, so calling this
    again repeats none of them.

    Args:
        rows: comparisons that people labelled, or a packaged set.
        judge: one judge that compares two responses, with the constitution to reword.
        writer: model string of the model that rewords; the judge's by default. A larger one writes better.
        out: folder of the wordings; a temporary one by default, which is deleted with the result.
        comparisons: about how many comparisons the search may ask for.
        limit: use only this many rows, from the first.
        seed: of the split, the search and the rewording.
        budget: the most dollars that all calls of this folder may cost.
        connection: how model servers are reached.
        progress: by default a bar on a terminal, and lines elsewhere.

    Raises: UsageError on faulty input, and for a judge that is not shown its constitution; PreceptorError when a model
        cannot be asked or the budget is spent.
    """
    require("tuning a constitution needs", *TUNE)
    spec, constitution = _judge(judge)
    connection, budget = shared_connection(judge, connection), shared_budget(judge, budget)
    check_count("limit", limit)
    check_count("comparisons", comparisons)
    rows = data_path(str(rows)) if isinstance(rows, str | Path) else rows
    output = output_folder(out)
    folder, path = output.path, output.path / "ledger.sqlite"
    check_own(folder, "tuning")
    settings = {"data": source(rows), "judge": spec, "writer": writer, "comparisons": comparisons, "seed": seed}
    with shown(progress) as display, working_in(folder, "tuning"):
        labelled, unusable = read_labelled(rows_as_file(rows, folder), limit, strict=False)
        if unusable:
            display.note(f"skipping {len(unusable)} unusable rows: {unusable[0].place}: {unusable[0].reason}")
        parts = split_rows(labelled, seed)
        _check_search(comparisons, parts)
        with (
            logged(folder, "tune", settings, display, partial(in_words, path, budget)) as log,
            Ledger(path, budget) as ledger,
        ):
            log.stage("opening the models")
            opened = {
                name: open_model(name, connection, batches=BatchFolder.beside(ledger)) for name in _models(spec, writer)
            }
            check_prices(budget, list(opened.values()))
            work = Tuning(
                constitution, spec, opened[spec.model], ledger, Rewriter(opened[writer or spec.model], ledger)
            )
            return work.tuned(parts, comparisons, seed, log, folder).save(output)


@dataclass(frozen=True)
class RowParts:
    """The rows by their use."""

    learning: list[ComparisonRow]
    validation: list[ComparisonRow]
    test: list[ComparisonRow]


@dataclass(frozen=True)
class Tuning:
    """A constitution to reword, with the models that judge and write."""

    constitution: Constitution
    spec: JudgeSpec
    model: LanguageModel
    ledger: Ledger
    rewriter: Rewriter

    def judge_by(self, wording: Mapping[str, str]) -> PairwiseJudge:
        """The judge by a wording."""
        return PairwiseJudge(self.model, with_parts(self.constitution, wording), self.spec.resolved(), self.ledger)

    def tuned(self, parts: RowParts, comparisons: int, seed: int, log: Progress, folder: Path) -> TuneResult:
        """Searches, keeps every wording in the folder, and measures the best one."""

        def advance(done: int) -> None:
            log.advance(min(done, comparisons), comparisons)

        log.stage("searching for a better wording")
        start = parts_of(self.constitution)
        adapter = ConstitutionAdapter(self.judge_by, self.rewriter, seed, advance)
        found = search(start, adapter, parts.learning, parts.validation, comparisons, seed)
        best = max(range(len(found.scores)), key=lambda place: (found.scores[place], -place))
        versions = [with_parts(self.constitution, wording) for wording in found.candidates]
        keep_constitutions(folder, versions)
        log.stage("measuring on the test rows")
        tested = [self._test(wording, parts.test) for wording in (start, found.candidates[best])]
        before, after = (share_by_prompt(list(each.values())) for each in tested)
        both = [(prompt, tested[1][n][1] - value) for n, (prompt, value) in tested[0].items() if n in tested[1]]
        write_text(folder / TUNED, constitution_toml(versions[best]))
        return TuneResult(
            judge=self.model.identity,
            variant=self.spec.way,
            writer=self.rewriter.model.identity,
            original=_name(self.constitution),
            best=_name(versions[best]),
            wordings=_wordings(found, versions),
            learning_rows=len(parts.learning),
            validation_rows=len(parts.validation),
            test_rows=len(parts.test),
            before=before,
            after=after,
            gain=difference_by_prompt(both),
            comparisons=found.comparisons,
            malformed=self.rewriter.malformed,
            test_failures=sum(len(parts.test) - len(each) for each in tested),
            ledger=self.ledger.totals(),
            environment=environment(),
        )

    def _test(self, wording: Mapping[str, str], rows: Sequence[ComparisonRow]) -> dict[int, tuple[str, float]]:
        """By the place of each row that the judge answered: its prompt, and whether the judge agrees with people."""
        outcomes = self.judge_by(wording).compare([row.comparison for row in rows])
        return {
            place: (row.comparison.prompt.id, correctness(outcome.p_a, majority_of(row)))
            for place, (row, outcome) in enumerate(zip(rows, outcomes, strict=True))
            if isinstance(outcome, Preference)
        }


def _judge(judge: Judges) -> tuple[JudgeSpec, Constitution]:
    """The one judge, and its constitution.

    Raises: UsageError for several judges, a cascade, and a judge that does not compare by its constitution.
    """
    spec = one_judge(judge, "tuning")
    settings = spec.resolved()
    if settings.shown != "together" or settings.preamble == "base":
        raise UsageError(
            f"{spec.way}: tuning rewords what a judge is shown when it compares two responses; use a variant such as "
            "detailed or detailed+cot"
        )
    return spec, load_constitution(spec.constitution)


def _check_search(comparisons: int, parts: RowParts) -> None:
    """Raises: UsageError when the search could not try a wording."""
    if comparisons <= (least := len(parts.validation)):
        raise UsageError(
            f"comparisons = {comparisons}: judging the original on the validation rows takes {least}, so no other "
            f"wording would be tried; expected several times that, such as {10 * least}"
        )


def _models(spec: JudgeSpec, writer: str | None) -> list[str]:
    return list(dict.fromkeys([spec.model, writer or spec.model]))


def split_rows(rows: Sequence[ComparisonRow], seed: int) -> RowParts:
    """Rows to learn from, to choose by, and to test on. Rows of one prompt are in one part.

    Raises: UsageError when there are too few rows on which people have a majority.
    """
    usable = [row for row in rows if row.preferred]
    prompts = sorted(
        {row.comparison.prompt.text for row in usable}, key=lambda text: (unit_hash("tune", seed, text), text)
    )
    if len(usable) < LEAST_ROWS or len(prompts) < LEAST_ROWS:
        raise UsageError(
            f"{len(usable)} rows of {len(prompts)} prompts have a majority of people; tuning needs at least "
            f"{LEAST_ROWS} of both"
        )
    first, second = round(LEARNING * len(prompts)), round((LEARNING + VALIDATION) * len(prompts))
    kept = (set(prompts[:first]), set(prompts[first:second]), set(prompts[second:]))
    return RowParts(*([row for row in usable if row.comparison.prompt.text in part] for part in kept))


def _wordings(found: Found, versions: Sequence[Constitution]) -> tuple[Wording, ...]:
    return tuple(
        Wording(
            constitution=_name(version),
            parent=None if parent is None else versions[parent].hash,
            changed=() if parent is None else _changed(found.candidates[parent], found.candidates[place]),
            score=found.scores[place],
        )
        for place, (version, parent) in enumerate(zip(versions, found.parents, strict=True))
    )


def _changed(before: Parts, after: Parts) -> tuple[str, ...]:
    return tuple(name for name, text in after.items() if before[name] != text)


def _name(constitution: Constitution) -> ConstitutionName:
    return ConstitutionName(name=constitution.name, version=constitution.version, hash=constitution.hash)
