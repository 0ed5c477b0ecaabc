"""A list of the recipes that ship with preceptor."""

from preceptor.recipes.load import load_settings, shipped_arms, shipped_recipes, shipped_scales
from preceptor.results.shipped import RecipesResult


def list_recipes() -> RecipesResult:
    """The recipes that ship with preceptor, the scales, and the sets of recipes for `arms`.

    Examples:
        >>> list_recipes().scales
        ('tiny',)
    """
    return RecipesResult(
        recipes={name: str(load_settings(name).get("description", "")) for name in shipped_recipes()},
        scales=tuple(shipped_scales()),
        arms=tuple(shipped_arms()),
    )
