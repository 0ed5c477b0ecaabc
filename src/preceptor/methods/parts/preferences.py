"""Gathering preferences: an AI judge's on candidates that are sampled here, people's from files, or both."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from preceptor.core.errors import CheckpointError, UsageError
from preceptor.core.seeds import derive_seed
from preceptor.core.types import Prompt
from preceptor.judging.specs import JudgeSpec
from preceptor.recipes.methods import ConstitutionalRecipe, DpoRecipe, RlaifRecipe
from preceptor.runs.inputs import Split
from preceptor.runs.session import Session
from preceptor.store.files import REMEDY, content_of, write_rows, writing
from preceptor.store.own_folder import Work, mark
from preceptor.store.training_pairs import TrainingPair, combine, read_training_pairs
from preceptor.tasks.candidates import Sampling
from preceptor.tasks.label import LabelJob, run_label

PreferenceRecipe = RlaifRecipe | DpoRecipe | ConstitutionalRecipe


def gather_preferences(session: Session, recipe: PreferenceRecipe, prompts: Split, policy: str) -> list[TrainingPair]:
    """The pairs to learn from, in every process. Nothing of a held-out prompt is among them.

    Args:
        policy: whose candidates the judge compares, as a model string.

    Raises: UsageError when there are none; PreceptorError when too many judgements fail; CheckpointError when labels of
        an earlier process were altered.
    """
    settings, left_out = recipe.preferences, Counter[str]()
    sets: list[list[TrainingPair]] = []
    if settings.ai:
        path = _labels(session, recipe, prompts, policy)
        pairs, why = read_training_pairs(path, weight=settings.ai_weight, labels="ai")
        left_out.update(reason.partition(": ")[2] for reason in why)
        sets.append(pairs)
    held_out = {prompt.text for prompt in prompts.held_out}
    for path in session.inputs.human:
        pairs, why = read_training_pairs(path, weight=settings.human_weight, labels="human")
        kept = [pair for pair in pairs if pair.prompt.text not in held_out]
        left_out.update(reason.partition(": ")[2] for reason in why)
        left_out.update({"its prompt is held out": len(pairs) - len(kept)} if len(kept) < len(pairs) else {})
        sets.append(kept)
    gathered = combine(sets)
    if not gathered:
        raise UsageError(f"there is no preference to learn: {dict(left_out) or 'the data holds none'}")
    counts = {
        "pairs": len(gathered),
        "by_source": dict(Counter(pair.source for pair in gathered)),
        "left_out": dict(left_out),
        "weights": {"ai": settings.ai_weight, "human": settings.human_weight},
        "mean_p_chosen": sum(pair.p_chosen for pair in gathered) / len(gathered),
    }
    session.stage("preferences", "gathering preferences", lambda: counts)
    return gathered


def _labels(session: Session, recipe: PreferenceRecipe, prompts: Split, policy: str) -> Path:
    """The file of the judge's preferences, made unless an earlier process finished it."""
    assert recipe.judge is not None  # the recipe's own check
    judge, settings, candidates = recipe.judge, recipe.preferences, recipe.candidates
    out = session.directory.path / "labels"
    job = LabelJob(
        data=out / "prompts.jsonl",
        out=out,
        judges=(JudgeSpec(model=judge.model, constitution=judge.constitution, variant=judge.variant),),
        sampling=Sampling(
            policy=policy,
            samples=settings.samples_per_prompt,
            temperature=candidates.temperature,
            max_new_tokens=candidates.max_new_tokens,
            design=settings.design,
            seed=derive_seed(recipe.seed, "candidates") % 2**31,
        ),
        max_failure_rate=settings.max_failure_rate,
    )

    def label() -> dict[str, Any]:
        write_prompts(job.data, prompts.training, "labels")
        summary = run_label(job, session.progress)
        kept = ("counts", "judge_warnings", "judges", "rater", "constitutions", "ledger")
        return {name: summary[name] for name in kept} | {"preferences_hash": content_of(out / "preferences.jsonl")}

    result = session.stage("labels", "labelling preferences", label)
    check_unaltered(session, out / "preferences.jsonl", str(result["preferences_hash"]))
    return out / "preferences.jsonl"


def check_unaltered(session: Session, path: Path, expected: str) -> None:
    """Raises: CheckpointError when what an earlier process finished is not there or has another content."""

    def check() -> None:
        if not path.is_file() or content_of(path) != expected:
            raise CheckpointError(f"{path}: is missing or was altered; {REMEDY}")

    session.processes.on_main(check)


def write_prompts(path: Path, prompts: Sequence[Prompt], work: Work) -> None:
    """Writes prompts as a file that `preceptor label` and `preceptor revise` read, into a folder marked as theirs."""
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    mark(path.parent, work)
    rows = [
        {
            "id": prompt.id,
            "conversation": [message.wire() for message in prompt.conversation],
            "cohort": prompt.cohort,
            "reference": prompt.reference,
            "metadata": prompt.metadata,
        }
        for prompt in prompts
    ]
    write_rows(path, rows)
