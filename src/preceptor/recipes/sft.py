"""The schema of supervised fine-tuning."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from preceptor.recipes.base import Recipe
from preceptor.recipes.settings import SftTable
from preceptor.training.rl.settings import RLSettings
from preceptor.training.trl.row_checks import check_sft

if TYPE_CHECKING:
    from preceptor.results.run import RunSummary


class SftRecipe(Recipe):
    """Supervised fine-tuning: the policy learns demonstrations."""

    title = "supervised fine-tuning"
    can_think = True
    chooses_checkpoint = False

    sft: SftTable = SftTable()

    @property
    def sft_first(self) -> None:
        """None: the fine-tuning is the method itself."""
        return None

    def check_trl(self, rl: RLSettings | None) -> None:
        """Raises: UsageError saying what the TRL engine cannot do."""
        check_sft(self.engine, "sft")

    def describe(self, summary: "RunSummary") -> Iterator[str]:
        """One sentence."""
        yield "The policy was fine-tuned on demonstrations. The KL is to the policy before."
