"""The reference of the Python API: every public name, by what it is for."""

import preceptor

INTRODUCTION = """\
# Python API

Everything here is a name of the package `preceptor`, and is imported when it is first used. The command line is a shell
over these functions: whatever a command can do, they can.
"""
_SECTIONS = {
    "Judges and constitutions": ("judging.judge", "judging.", "backends."),
    "Work": ("tasks.", "methods.", "recipes.", "studio.", "serve."),
    "Environments": ("environments.",),
    "Results": ("results.", "runs.result"),
    "Types": ("core.types", "core.rubric", "store.", "evaluation."),
    "Errors": ("core.errors",),
}


def page() -> str:
    """The page, in Markdown, for mkdocstrings."""
    places = {name: place.removeprefix("preceptor.") for name, place in preceptor._MODULES.items()}
    parts, left = [INTRODUCTION], dict(places)
    for title, prefixes in _SECTIONS.items():
        found = [name for prefix in prefixes for name, place in left.items() if place.startswith(prefix)]
        names = list(dict.fromkeys(found))
        parts += [f"## {title}", *(f"::: preceptor.{name}" for name in names)] if names else []
        left = {name: place for name, place in left.items() if name not in names}
    parts += ["## Others", *(f"::: preceptor.{name}" for name in left)] if left else []
    return "\n\n".join(parts) + "\n"
