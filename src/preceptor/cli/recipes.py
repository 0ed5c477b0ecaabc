"""`preceptor recipes`: lists and prints recipes."""

from typing import Annotated

import typer

from preceptor.cli import names
from preceptor.cli import options as o
from preceptor.display.terminal import say, say_json


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
    as_json: o.AsJson = False,
) -> None:
    """List the recipes that ship with preceptor, or print one with every setting."""
    import json

    from preceptor.recipes.load import (
        dump_recipe,
        load_recipe,
        load_settings,
        recipe_data,
        shipped_arms,
        shipped_recipes,
        shipped_scales,
    )

    if name is not None:
        recipe = load_recipe(name, scale=scale)
        if as_json:
            say_json(json.dumps(recipe_data(recipe), indent=1))
        else:
            say(dump_recipe(recipe), end="")
        return
    listed = {recipe: str(load_settings(recipe).get("description", "")) for recipe in shipped_recipes()}
    if as_json:
        say_json(json.dumps(listed, indent=1))
        return
    for shipped, description in listed.items():
        say(f"{shipped:16} {description}")
    say(f"\n--scale: {', '.join(shipped_scales())}; sets of recipes for `preceptor arms`: {', '.join(shipped_arms())}")
