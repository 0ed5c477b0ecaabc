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
        """None: the fine-tuning is the method itself."""
        return None
