"""`preceptor models`: the forms of a model string."""

from typing import Annotated

import typer

from preceptor.cli import options as o
from preceptor.display.terminal import say, say_json


def models(
    fetch: Annotated[bool, typer.Option("--fetch", help="Download the embedded model into the cache now.")] = False,
    as_json: o.AsJson = False,
) -> None:
    """List the forms of a model string, and where the embedded model is."""
    import json

    from preceptor.backends.names import FORMS
    from preceptor.backends.transformers.embedded import embedded_directory, ensure_embedded

    folder = ensure_embedded() if fetch else embedded_directory()
    state = "in the cache" if folder.is_dir() else "not fetched yet"
    if as_json:
        say_json(json.dumps({"forms": FORMS, "embedded": {"path": str(folder), "cached": folder.is_dir()}}, indent=1))
        return
    for form, meaning in FORMS.items():
        say(f"{form:28} {meaning}")
    say(f"\nThe embedded model is {state}: {folder}")
