"""Gathering preferences: an AI judge's, on responses sampled by the policy; a judge's or people's, from files."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from preceptor.core.errors import CheckpointError, UsageError
from preceptor.core.seeds import derive_seed
from preceptor.core.types import JsonObject, Prompt
from preceptor.recipes.settings import ComparingJudgeSettings, PreferenceSettings
from preceptor.results.run import LabelRecord, PreferenceRecord
from preceptor.runs.inputs import Split
from preceptor.runs.session import Session
from preceptor.store.files import REMEDY, content_of, write_rows, writing
from preceptor.store.own_folder import Work, mark
from preceptor.store.training_pairs import TrainingPair, combine, read_training_pairs
from preceptor.tasks.candidates import Sampling
from preceptor.tasks.label import label


def gather_preferences(
    session: Session, judge: ComparingJudgeSettings | None, settings: PreferenceSettings, prompts: Split, policy: str
) -> list[TrainingPair]:
    """The pairs to learn from, in every process. None of them has a held-out prompt.

    Args:
        judge: needed for AI preferences.
        policy: the model whose responses the judge compares, as a model string, unless training begins with other
            weights (`begin`), whose responses it then compares.

    Raises: UsageError when there are none, nor unpaired responses; PreceptorError when too many judgements fail;
        CheckpointError when labels of an earlier process were altered.
    """
    left_out = Counter[str]()
    sets: list[list[TrainingPair]] = []
    if settings.ai:
        assert judge is not None  # the schema checks this
        path = _labels(session, judge, settings, prompts, policy)
        pairs, why = read_training_pairs(path, weight=settings.ai_weight, labels="ai")
        left_out.update(row.reason for row in why)
        sets.append(pairs)
    labelled = zip(session.inputs.labelled, settings.weights_of_labelled, strict=True)
    earlier = [_kept(path, weight, "ai", prompts, left_out) for path, weight in labelled]
    sets += earlier
    for path in session.inputs.human:
        sets.append(_kept(path, settings.human_weight, "human", prompts, left_out))
    gathered = combine(sets)
    if not gathered and settings.unpaired:
        return []
    if not gathered:
        reasons = ", ".join(f"{reason} ({count} rows)" for reason, count in left_out.most_common(3))
        raise UsageError(f"there is no preference to learn: {reasons or 'the data holds none'}")
    counts = PreferenceRecord(
        pairs=len(gathered),
        by_source=dict(Counter(pair.source for pair in gathered)),
        left_out=dict(left_out),
        weights={"ai": settings.ai_weight, "human": settings.human_weight},
        mean_p_chosen=sum(pair.p_chosen for pair in gathered) / len(gathered),
        labelled_before=sum(map(len, earlier)),
    )
    session.stage("preferences", "gathering preferences", PreferenceRecord, lambda: counts)
    return gathered


def _kept(
    path: Path, weight: float, labels: Literal["ai", "human"], prompts: Split, left_out: Counter[str]
) -> list[TrainingPair]:
    """The pairs of a dataset whose prompts are not held out. Why others are left out is counted."""
    held_out = {prompt.text for prompt in prompts.held_out}
    pairs, why = read_training_pairs(path, weight=weight, labels=labels)
    kept = [pair for pair in pairs if pair.prompt.text not in held_out]
    left_out.update(row.reason for row in why)
    left_out.update({"its prompt is held out": len(pairs) - len(kept)} if len(kept) < len(pairs) else {})
    return kept


def _labels(
    session: Session, judge: ComparingJudgeSettings, settings: PreferenceSettings, prompts: Split, policy: str
) -> Path:
    """The file of the judge's preferences. It is written unless an earlier process finished it."""
    out, default, thinking = session.directory.path / "labels", session.recipe.decoding, session.recipe.thinking
    sampling = Sampling(
        policy=session.recipe.begin or policy,
        samples=settings.samples_per_prompt,
        temperature=settings.temperature or default.temperature,
        max_new_tokens=settings.max_new_tokens or default.max_new_tokens,
        design=settings.design,
        seed=derive_seed(session.recipe.seed, "candidates") % 2**31,
        thinking=None if thinking is None else thinking.tokens if thinking.on else "off",
    )

    def judge_candidates() -> LabelRecord:
        write_prompts(out / "prompts.jsonl", prompts.training, "labels")
        labels = label(
            out / "prompts.jsonl",
            judges=judge.spec,
            out=out,
            sampling=sampling,
            max_failure_rate=settings.max_failure_rate,
            progress=session.progress,
        )
        kept = {"counts", "judge_warnings", "judges", "rater", "constitutions", "ledger"}
        summary = labels.model_dump(mode="json", include=kept)
        return LabelRecord.model_validate(summary | {"preferences_hash": content_of(out / "preferences.jsonl")})

    result = session.stage("labels", "labelling preferences", LabelRecord, judge_candidates)
    check_unaltered(session, out / "preferences.jsonl", result.preferences_hash)
    return out / "preferences.jsonl"


def check_unaltered(session: Session, path: Path, expected: str) -> None:
    """Raises: CheckpointError when a file that an earlier process finished is missing or has changed."""

    def check() -> None:
        if not path.is_file() or content_of(path) != expected:
            raise CheckpointError(f"{path}: is missing or was altered; {REMEDY}")

    session.processes.on_main(check)


def write_prompts(path: Path, prompts: Sequence[Prompt], work: Work) -> None:
    """Writes prompts as a file that `preceptor label` and `preceptor revise` read, into a folder marked as theirs."""
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    mark(path.parent, work)
    write_rows(path, prompt_rows(prompts))


def prompt_rows(prompts: Sequence[Prompt]) -> list[JsonObject]:
    """The rows of a prompt file."""
    return [
        {
            "id": prompt.id,
            "conversation": [message.wire() for message in prompt.conversation],
            "cohort": prompt.cohort,
            "reference": prompt.reference,
            "metadata": prompt.metadata,
            **({"rubric": prompt.rubric.model_dump(mode="json")} if prompt.rubric else {}),
        }
        for prompt in prompts
    ]
