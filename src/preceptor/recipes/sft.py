"""The schema of supervised fine-tuning."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from preceptor.recipes.base import Recipe
from preceptor.recipes.settings import SftTable

if TYPE_CHECKING:
    from preceptor.results.run import RunSummary


class SftRecipe(Recipe):
    """Supervised fine-tuning: the policy learns demonstrations."""

    title = "supervised fine-tuning"
    chooses_checkpoint = False

    sft: SftTable = SftTable()

    @property
    def sft_first(self) -> None:
        """None: the fine-tuning is the method itself."""
        return None

    def describe(self, summary: "RunSummary") -> Iterator[str]:
        """One sentence."""
        yield "The policy was fine-tuned on demonstrations. The KL is to the policy before."
