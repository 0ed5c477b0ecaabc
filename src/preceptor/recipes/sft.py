"""The schema of supervised fine-tuning."""

from preceptor.recipes.base import Recipe
from preceptor.recipes.settings import SftTable


class SftRecipe(Recipe):
    """Supervised fine-tuning: the policy learns demonstrations."""

    title = "supervised fine-tuning"
    chooses_checkpoint = False

    sft: SftTable = SftTable()

    @property
    def sft_first(self) -> None:
        """Nothing comes before the fine-tuning, which is the method itself."""
        return None
