"""Constitutional AI (Bai et al. 2022): self-revision by a constitution, fine-tuning on it, then RLAIF."""

from preceptor.core.seeds import derive_seed
from preceptor.methods.base import Method
from preceptor.methods.parts.fine_tuning import fine_tune, fine_tuned_first
from preceptor.methods.parts.preferences import check_unaltered, write_prompts
from preceptor.methods.rlaif import rlaif_from
from preceptor.recipes.constitutional import ConstitutionalRecipe
from preceptor.results.run import NamedConstitution, RevisionRecord, RunSummary
from preceptor.runs.inputs import Split
from preceptor.runs.session import Session
from preceptor.store.demonstrations import Demonstration, read_demonstrations
from preceptor.store.files import content_of
from preceptor.tasks.revise import revise


class Constitutional(Method[ConstitutionalRecipe]):
    """The policy revises its own answers and learns the revisions; RLAIF on the judge's preferences follows."""

    schema = ConstitutionalRecipe

    def run(self, session: Session, recipe: ConstitutionalRecipe) -> RunSummary:
        """Has the policy revise its answers, fine-tunes it on the revisions, and continues as RLAIF."""
        prompts = session.split()
        base = fine_tuned_first(session)
        revisions = _revise(session, recipe, prompts, base)
        base = fine_tune(session, "fine_tuning", base, revisions, recipe.fine_tuning)
        return rlaif_from(session, recipe, prompts, base)


def _revise(session: Session, recipe: ConstitutionalRecipe, prompts: Split, policy: str) -> list[Demonstration]:
    """The policy's revised answers to the training prompts, in `revision/`."""
    out, settings = session.directory.path / "revision", recipe.revision.revising

    def revise_answers() -> RevisionRecord:
        write_prompts(out / "prompts.jsonl", prompts.training, "revision")
        revised = revise(
            out / "prompts.jsonl",
            model=policy,
            constitution=recipe.revision.constitution,
            out=out,
            settings=settings.model_copy(update={"seed": derive_seed(recipe.seed, "revision", settings.seed) % 2**31}),
            progress=session.progress,
        )
        used = revised.constitution
        return RevisionRecord(
            prompts=revised.prompts,
            revised=revised.revised,
            unchanged=revised.unchanged,
            failed=revised.failed,
            constitution=NamedConstitution(name=used.name, version=used.version, hash=used.hash),
            hash=content_of(out / "sft.jsonl"),
        )

    result = session.stage("revision", "revising the policy's answers", RevisionRecord, revise_answers)
    check_unaltered(session, out / "sft.jsonl", result.hash)
    return read_demonstrations(out / "sft.jsonl")[0]
