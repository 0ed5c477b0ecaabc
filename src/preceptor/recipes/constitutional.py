"""The schema of Constitutional AI."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from preceptor.judging.revision import RevisionSettings
from preceptor.recipes.rlaif import RlaifRecipe
from preceptor.recipes.settings import FileName, SftTable
from preceptor.training.sft.settings import SftSettings

if TYPE_CHECKING:
    from preceptor.results.run import RunSummary


class RevisionTable(RevisionSettings):
    """Critique and revision of the policy's own answers."""

    constitution: FileName = "harmless"
    """The constitution whose principles the critiques follow."""

    @property
    def revising(self) -> RevisionSettings:
        """The settings of the reviser alone."""
        return RevisionSettings(**{name: getattr(self, name) for name in RevisionSettings.model_fields})


class ConstitutionalRecipe(RlaifRecipe):
    """Constitutional AI: fine-tuning on the policy's own revised answers, then RLAIF (Bai et al. 2022)."""

    title = "Constitutional AI"
    can_iterate = False
    can_think = False
    can_iterate = False

    sft: SftTable | None = None
    """Its result becomes the policy that revises its answers."""
    revision: RevisionTable = RevisionTable()
    fine_tuning: SftSettings = SftSettings()
    """Fine-tuning of the policy on its revised answers."""

    @property
    def base_stage(self) -> str:
        """RL starts from the model that learned the revisions."""
        return "fine_tuning"

    @property
    def other_constitutions(self) -> tuple[str, ...]:
        """The constitution that the critiques follow."""
        return (self.revision.constitution,)

    def describe(self, summary: "RunSummary") -> Iterator[str]:
        """Describes the revision, then RLAIF."""
        revision = self.revision
        yield (
            f"The policy criticised and rewrote its own answers by the principles of {revision.constitution}, in "
            f"{revision.rounds} rounds, and was fine-tuned on the result. The fine-tuned model is the reference below."
        )
        yield from super().describe(summary)
