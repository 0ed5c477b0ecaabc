"""Training a judge of one's own on verdicts of people, or of a larger judge already paid for, by fine-tuning."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from preceptor.backends.resolve import open_model
from preceptor.core.environment import environment
from preceptor.core.errors import UsageError
from preceptor.core.extras import require_training
from preceptor.core.hashing import unit_hash
from preceptor.core.markdown import code
from preceptor.core.progress import Progress
from preceptor.core.types import JsonObject
from preceptor.core.validation import check_count, check_share, settings_of
from preceptor.display.progress import shown
from preceptor.evaluation.intervals import Estimate
from preceptor.evaluation.judges.judge_audit import JudgeAudit
from preceptor.judging.constitution import load_constitution
from preceptor.judging.judge_spec import JudgeSpec
from preceptor.judging.judges import Judges, one_judge
from preceptor.judging.learnt import write_learnt
from preceptor.judging.lessons import (
    NOT_RECORDED,
    PEOPLE,
    Key,
    Lesson,
    Rationales,
    demonstrations_of,
    questions_of,
    teachers_of,
)
from preceptor.judging.pairwise import PairwiseJudge
from preceptor.judging.rationales import find_rationales, sampling
from preceptor.results.audit import AuditResult
from preceptor.results.trained_judge import JudgeMeasures, OwnRationales, TrainedJudgeResult
from preceptor.runs.inputs import data_path
from preceptor.store.comparisons import ComparisonRow, read_comparisons
from preceptor.store.demonstrations import Demonstration
from preceptor.store.files import read_rows, write_rows
from preceptor.store.ledger import IN_MEMORY, Ledger
from preceptor.store.output import Output, output_folder
from preceptor.store.own_folder import check_own, working_in
from preceptor.store.preference_row import PreferenceRow
from preceptor.store.rows import Malformed, read_raw_rows
from preceptor.store.tabular import Rows, rows_as_file
from preceptor.tasks.audit import audit
from preceptor.training.sft.settings import SftSettings
from preceptor.training.sft.train import train_sft
from preceptor.training.tuning import TuningSettings

QUESTIONS = "questions.jsonl"
"""The lessons as prompts, for reinforcement learning with the rewards of `preceptor.judging.verdict_reward`."""
HELD_OUT = "held_out.jsonl"
"""The rows that the judge is measured on."""


@dataclass(frozen=True)
class _Data:
    """The rows by their use."""

    lessons: list[Lesson]
    held_out: list[ComparisonRow]
    left_out: Counter[str]
    rationales: Rationales


@dataclass(frozen=True)
class _Taught:
    """What the model learns."""

    lessons: list[Lesson]
    """Without those that have no rationale to learn."""
    demonstrations: list[Demonstration]
    questions: list[JsonObject]
    """All lessons, as prompts for reinforcement learning."""
    base: str
    """Identity of the model."""
    own: OwnRationales | None


def train_judge(
    rows: Rows,
    *,
    judge: Judges = "embedded",
    out: str | Path | None = None,
    test: "Rows | None" = None,
    held_out_share: float = 0.25,
    rationale_tries: int = 0,
    labels_licence: str = "",
    sft: SftSettings | Mapping[str, object] | None = None,
    tuning: TuningSettings | Mapping[str, object] | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> TrainedJudgeResult:
    """Fine-tunes a model to judge, and audits it before and after on prompts that it never saw.

    The model learns each comparison in both orders, as it will be asked. Verdicts are people's where a row has them,
    and otherwise those of the judge that labelled the row. Asked to reason first, it learns rationales: those of the
    row's verdicts that came to the label (rationales that led to a wrong one are not learnt), or the first of its own
    that does.

    Args:
        rows: comparisons that people labelled; or what `label` wrote, from whose judge this one is distilled.
        judge: the judge to train: a local chat model, a constitution, and a way of comparing.
        out: folder of the model; give it again to resume. A temporary one by default, which is deleted with the result.
        test: rows that people labelled, to measure on; a share of `rows`, by prompt, when None.
        held_out_share: that share.
        rationale_tries: how often the judge to be trained is asked itself for each rationale that a row lacks, at a
            temperature, until one comes to the label; 0 for never.
        labels_licence: the licence of the labels and the terms of the judges that gave them, for the model card.
        sft: settings of the fine-tuning.
        tuning: which weights are trained.
        seed: of the adapters and the order.
        progress: by default a bar on a terminal, and lines elsewhere.

    Raises: UsageError on faulty input, or for a judge that cannot be trained; PreceptorError when training diverges.
    """
    require_training()
    check_count("rationale_tries", rationale_tries, least=0)
    spec = _spec(judge, rationale_tries)
    check_share("held_out_share", held_out_share)
    settings = settings_of("sft", SftSettings, sft) or SftSettings()
    tuned = settings_of("tuning", TuningSettings, tuning) or TuningSettings()
    output, begun = output_folder(out), time.perf_counter()
    check_own(output.path, "judge")
    with shown(progress) as display, working_in(output.path, "judge"):
        display.stage("reading the data")
        data = _read(output.path, rows, test, held_out_share)
        display.note(f"{len(data.lessons)} comparisons to learn, {len(data.held_out)} held out")
        taught = _taught(output.path, spec, data, rationale_tries, display)
        write_rows(output.path / QUESTIONS, taught.questions)
        display.stage("fine-tuning")
        folder = train_sft(
            spec.model,
            taught.demonstrations,
            tuned,
            settings,
            folder=output.path / "model",
            seed=seed,
            on_log=lambda row: display.step(int(row["step"]), int(row["steps"]), dict(row)),
            on_note=display.note,
            about=_about(spec, taught, labels_licence),
        )
        write_learnt(folder, (lesson.comparison.prompt for lesson in taught.lessons), spec.model)
        measured = _audited(output, spec, folder, data.held_out, display)
        updates: list[Any] = read_rows(folder / "metrics.jsonl")
        losses = [float(row["loss"]) for row in updates]
        before, after = (None, None) if measured is None else (_measures(judged) for judged in measured.judges)
        return TrainedJudgeResult(
            base=taught.base,
            constitution=spec.constitution,
            variant=spec.way,
            lessons=len(taught.lessons),
            left_out=dict(data.left_out),
            teachers=teachers_of(taught.lessons),
            own_rationales=taught.own,
            labels_licence=labels_licence or "not stated",
            first_loss=losses[0] if losses else None,
            last_loss=losses[-1] if losses else None,
            held_out_rows=len(data.held_out),
            before=before,
            after=after,
            gain=None if measured is None else _gain(measured),
            seed=seed,
            sft=settings,
            tuning=tuned,
            seconds=round(time.perf_counter() - begun, 1),
            environment=environment(),
        ).save(output)


def _about(spec: JudgeSpec, taught: _Taught, labels_licence: str) -> tuple[str, ...]:
    """What the model card says of a judge."""
    listed = teachers_of(taught.lessons)
    teachers = ", ".join(who if who in (PEOPLE, NOT_RECORDED) else code(who) for who in listed)
    return (
        f"It judges: it compares two responses by the constitution {spec.constitution}, asked as {spec.way}.",
        f"It learnt {len(taught.lessons)} comparisons, in both orders. Who says which response is better: {teachers}.",
        *([] if taught.own is None else [taught.own.sentence]),
        f"Licence of the labels, and terms of the judges that gave them: {labels_licence or 'not stated'}.",
        "What it is worth on prompts that it never saw is in the summary and the audit beside its folder.",
    )


def _spec(judge: Judges, rationale_tries: int) -> JudgeSpec:
    """The judge to train.

    Raises: UsageError for several judges, for one that does not compare two responses at once, and for tries of one
        that gives no rationale.
    """
    spec = one_judge(judge, "training")
    settings = spec.resolved()
    if settings.shown != "together" or settings.principles != "all" or settings.samples != 1 or settings.exemplars:
        raise UsageError(
            f"{spec.way}: a judge learns to compare two responses by all principles at once, without exemplars; use "
            "detailed or detailed+cot"
        )
    if rationale_tries and not settings.rationale:
        raise UsageError(
            f"rationale_tries = {rationale_tries}: a judge that is asked as {spec.way} gives no rationale; leave it "
            f"out, or use the variant {spec.way}+cot"
        )
    return spec


def _read(folder: Path, rows: Rows, test: "Rows | None", share: float) -> _Data:
    """The rows to learn and those to measure on, which share no prompt.

    Raises: UsageError when there is nothing to learn.
    """
    source = _file(folder, rows, "data.jsonl")
    found, left_out = list(read_comparisons(source)), Counter[str]()
    usable = [row for row in found if isinstance(row, ComparisonRow)]
    left_out.update(row.reason for row in found if isinstance(row, Malformed))
    if test is None:
        held_out = [row for row in usable if unit_hash("judge", row.comparison.prompt.text) < share]
    else:
        rows_of_test = read_comparisons(_file(folder, test, "test.jsonl"))
        held_out = [row for row in rows_of_test if isinstance(row, ComparisonRow)]
    texts = {row.comparison.prompt.text for row in held_out}
    asked = [row for row in held_out if row.preferred]
    if test is None and len(asked) < len(held_out):
        left_out["held out, and people prefer neither response"] += len(held_out) - len(asked)
    write_rows(folder / HELD_OUT, [_held_out(row) for row in asked])
    training = [row for row in usable if row.comparison.prompt.text not in texts]
    if test is not None and len(training) < len(usable):
        left_out["its prompt is among the test rows"] += len(usable) - len(training)
    lessons = [lesson for row in training if (lesson := _lesson(row)) is not None]
    if len(lessons) < len(training):
        left_out["no label, or a tie"] += len(training) - len(lessons)
    if not lessons:
        raise UsageError(f"there is nothing to learn: {dict(left_out) or 'every prompt is held out'}")
    recorded = _recorded(source)
    oriented = [_as_recorded(lesson, recorded) for lesson in lessons]
    return _Data(oriented, asked, left_out, _rationales(oriented, recorded))


def _file(folder: Path, rows: Rows, name: str) -> Path:
    return data_path(str(rows)) if isinstance(rows, str | Path) else rows_as_file(rows, folder, name=name)


def _lesson(row: ComparisonRow) -> Lesson | None:
    """None without a label, and for a tie."""
    if row.human is not None:
        return Lesson(row.comparison, row.preferred, PEOPLE) if row.preferred else None
    if row.ai_p_a is None or row.ai_p_a == 0.5:
        return None
    return Lesson(row.comparison, "a" if row.ai_p_a > 0.5 else "b", row.labelled_by or NOT_RECORDED)


def _recorded(path: Path) -> dict[str, PreferenceRow]:
    """Rows that a judge labelled, with its verdicts, by id.

    Raises: UsageError for a row with verdicts that is not what `label` writes.
    """
    labelled = [(place, row) for place, row in read_raw_rows(path) if isinstance(row, dict) and row.get("verdicts")]
    rows = [PreferenceRow.read(row, place) for place, row in labelled]
    return {row.id: row for row in rows}


def _as_recorded(lesson: Lesson, recorded: Mapping[str, PreferenceRow]) -> Lesson:
    """The lesson with its responses in the places that they had when a judge compared them."""
    row = recorded.get(lesson.comparison.id)
    if row is None or row.comparison().a.text == lesson.comparison.a.text:
        return lesson
    return Lesson(lesson.comparison.swapped(), "b" if lesson.better == "a" else "a", lesson.teacher)


def _rationales(lessons: Sequence[Lesson], recorded: Mapping[str, PreferenceRow]) -> Rationales:
    """The rationales of verdicts that came to the lesson's label."""
    found: dict[Key, str] = {}
    for lesson in lessons:
        row = recorded.get(lesson.comparison.id)
        for verdict in () if row is None else row.verdicts:
            if verdict.rationale and lesson.agrees(verdict.p_a):
                found.setdefault(lesson.key(verdict.order), verdict.rationale)
    return found


def _held_out(row: ComparisonRow) -> JsonObject:
    """A row for the audit."""
    comparison, human = row.comparison, row.human
    assert human is not None
    sides: dict[str, Any] = {
        f"response_{name}": [message.wire() for message in side.messages] if side.trajectory else side.text
        for name, side in (("a", comparison.a), ("b", comparison.b))
    }
    opinion: dict[str, Any] = {"ratings": list(human.ratings)} if human.ratings else {"label": human.majority}
    about = {
        "raters": list(human.raters) or None,
        "category": row.category,
        "policy_a": comparison.a.policy,
        "policy_b": comparison.b.policy,
    }
    prompt: Any = [message.wire() for message in comparison.prompt.conversation]
    known: dict[str, Any] = {name: value for name, value in about.items() if value is not None}
    return {"id": comparison.id, "prompt": prompt, **sides, **opinion, **known}


def _taught(folder: Path, spec: JudgeSpec, data: _Data, tries: int, progress: Progress) -> _Taught:
    """What the model learns.

    Raises: UsageError when it cannot learn, or no lesson has the rationales that it is asked for.
    """
    model, constitution, settings = open_model(spec.model), load_constitution(spec.constitution), spec.resolved()
    rationales, own = data.rationales if settings.rationale else None, None
    if rationales is not None and tries:
        with Ledger(folder / "ledger.sqlite") as ledger:
            asked = PairwiseJudge(model, constitution, sampling(settings, tries), ledger)
            found = find_rationales(asked, data.lessons, rationales, tries, progress)
        rationales, own = found.rationales, OwnRationales.of(found)
    with Ledger(IN_MEMORY) as ledger:
        judge = PairwiseJudge(model, constitution, settings, ledger)
        lessons = data.lessons if rationales is None else [each for each in data.lessons if each.reasoned(rationales)]
        demonstrations = list(demonstrations_of(judge, lessons, rationales))
        questions = list(questions_of(judge, data.lessons))
    if lacking := len(data.lessons) - len(lessons):
        data.left_out["no rationale that came to the label in both orders"] += lacking
    if not lessons:
        raise UsageError(
            f"{spec.way}: no row has rationales to learn{' after all tries' if tries else ''}; label the rows with a "
            "judge that reasons (a variant with +cot) and give its preferences.jsonl, or let this judge find its own "
            f"by rationale_tries = {max(4, 2 * tries)}"
        )
    return _Taught(lessons, demonstrations, questions, model.identity, own)


def _audited(
    output: Output, spec: JudgeSpec, folder: Path, held_out: Sequence[ComparisonRow], progress: Progress
) -> AuditResult | None:
    """Both judges on the held-out rows; None without one."""
    if not held_out:
        return None
    judges = [spec, spec.model_copy(update={"model": str(folder)})]
    return audit(output.path / HELD_OUT, judges=judges, out=output.path / "audit", progress=progress)


def _measures(judged: JudgeAudit) -> JudgeMeasures:
    return JudgeMeasures(
        alignment=judged.alignment,
        position_bias=judged.position_bias,
        longer_preferred_rate=judged.longer_preferred_rate,
        failure_rate=judged.failure_rate,
    )


def _gain(measured: AuditResult) -> Estimate | None:
    """Alignment after minus before, on the rows that both judges answered."""
    [pair] = measured.comparisons
    if pair.difference is None:
        return None
    low, high = (None, None) if pair.difference_ci is None else (-pair.difference_ci[1], -pair.difference_ci[0])
    return Estimate(value=-pair.difference, low=low, high=high, n=pair.n)
