"""`preceptor recipes`: lists and prints recipes."""

from typing import Annotated

import typer

from preceptor.cli import names
from preceptor.cli import options as o


@o.with_options(output=o.output)
def recipes(
    name: Annotated[
        str | None, typer.Argument(help="Print this recipe with every setting.", autocompletion=names.recipes)
    ] = None,
    scale: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Print the recipe at this scale, for instance tiny.", autocompletion=names.scales
        ),
    ] = None,
    *,
    output: o.Output,
) -> None:
    """List the recipes that ship with preceptor, or print one with every setting."""
    from preceptor.core.errors import UsageError
    from preceptor.recipes.load import dump_recipe, load_recipe, recipe_data
    from preceptor.recipes.shipped import list_recipes

    if name is not None:
        recipe = load_recipe(name, scale=scale)
        output.show(recipe_data(recipe), lambda: dump_recipe(recipe).rstrip("\n"))
        return
    if scale is not None:
        raise UsageError("--scale: name the recipe to print at this scale")
    listed = list_recipes()
    output.show(listed.recipes, lambda: str(listed))
