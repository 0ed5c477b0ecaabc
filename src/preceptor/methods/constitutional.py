"""Constitutional AI (Bai et al. 2022): self-revision by a constitution, fine-tuning on it, then RLAIF."""

from typing import Any

from preceptor.core.seeds import derive_seed
from preceptor.methods.parts.fine_tuning import begin, fine_tune
from preceptor.methods.parts.preferences import check_unaltered, write_prompts
from preceptor.methods.rlaif import rlaif_from
from preceptor.recipes.methods import ConstitutionalRecipe
from preceptor.results.run import RunSummary
from preceptor.runs.inputs import Split
from preceptor.runs.session import Session
from preceptor.store.demonstrations import Demonstration, read_demonstrations
from preceptor.store.files import content_of
from preceptor.tasks.revise import ReviseJob, run_revise


def run_constitutional(session: Session, recipe: ConstitutionalRecipe) -> RunSummary:
    """The policy revises its own answers and learns the revisions; the judge's preferences do the rest.

    Raises: PreceptorError, among them UsageError for a recipe that cannot be run.
    """
    prompts = session.split()
    base = begin(session)
    revisions = _revise(session, recipe, prompts, base)
    base = fine_tune(session, "fine_tuning", base, revisions, recipe.fine_tuning)
    return rlaif_from(session, recipe, prompts, base)


def _revise(session: Session, recipe: ConstitutionalRecipe, prompts: Split, policy: str) -> list[Demonstration]:
    """The policy's revised answers to the training prompts, in `revision/`."""
    out, settings = session.directory.path / "revision", recipe.revision.revising
    job = ReviseJob(
        prompts=out / "prompts.jsonl",
        out=out,
        model=policy,
        constitution=recipe.revision.constitution,
        settings=settings.model_copy(update={"seed": derive_seed(recipe.seed, "revision", settings.seed) % 2**31}),
    )

    def revise() -> dict[str, Any]:
        write_prompts(job.prompts, prompts.training, "revision")
        summary = run_revise(job, session.progress)
        kept = ("prompts", "revised", "unchanged", "failed", "constitution")
        return {name: summary[name] for name in kept} | {"hash": content_of(out / "sft.jsonl")}

    result = session.stage("revision", "revising the policy's answers", revise)
    check_unaltered(session, out / "sft.jsonl", str(result["hash"]))
    return read_demonstrations(out / "sft.jsonl")[0]
