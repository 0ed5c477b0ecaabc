"""The reference of the command line, from the commands themselves."""

from collections.abc import Iterator
from typing import Any

import typer
from tables import table

from preceptor.cli.app import app

INTRODUCTION = """\
# Command line

This page is generated from the commands themselves. Each command also explains itself with `--help`.

- No command is silent for more than ten seconds: on a terminal a bar moves, elsewhere lines say what is under way.
  A run says within its first minute how long it will take on this machine.
- Every command takes `--json`, which prints the result as JSON on standard output. Progress goes to standard error.
- Ctrl-C, TERM and HUP end a command with one line that says how to [resume it](../how-to/resume.md).

| exit code | meaning |
|---|---|
| 0 | done |
| 1 | the work failed, or `--fail-on-regression` found a regression |
| 2 | wrong usage: an unknown option, a missing file, a setting out of bounds |
| 70 | a fault in preceptor itself; the traceback above the message belongs in the bug report |
| 129, 130, 143 | ended by HUP, Ctrl-C, TERM |
"""


def page() -> str:
    """The page, in Markdown."""
    root: Any = typer.main.get_command(app)
    sections = ["\n".join(_command(f"preceptor {path}", command)) for path, command in _leaves(root)]
    return "\n\n".join([INTRODUCTION, *sections]) + "\n"


def _leaves(group: Any, above: str = "") -> Iterator[tuple[str, Any]]:
    """Every command that does something, with the words that call it."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _leaves(command, f"{above}{name} ")
        else:
            yield f"{above}{name}", command


def _command(name: str, command: Any) -> Iterator[str]:
    context = typer.Context(command)
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    options = [p for p in command.params if p.param_type_name == "option" and not p.hidden]
    usage = " ".join([name, *(_argument(a) for a in arguments), "[OPTIONS]"])
    yield f"## {name}\n\n{command.help}\n\n```text\n{usage}\n```\n"
    if arguments:
        yield table(("argument", "meaning"), [(f"`{_argument(a)}`", _meaning(a)) for a in arguments])
    for panel in dict.fromkeys(o.rich_help_panel for o in options):
        rows = [(f"`{_option(o, context)}`", _default(o), _meaning(o)) for o in options if o.rich_help_panel == panel]
        yield f"\n**{panel or 'Options'}**\n\n{table(('option', 'default', 'meaning'), rows)}"


def _argument(argument: Any) -> str:
    name = argument.metavar or argument.name.upper()
    return name if argument.required or name.startswith("[") else f"[{name}]"


def _option(option: Any, context: Any) -> str:
    names = ", ".join(sorted(option.opts, key=len, reverse=True))
    if option.is_flag:
        return names
    kind = option.metavar or option.display_type(context).strip("<>[]").removesuffix(" RANGE").upper()
    return f"{names} {kind}"


def _default(option: Any) -> str:
    value = option.default
    if option.is_flag or value is None or callable(value) or value in ((), []):
        return "required" if option.required else ""
    return f"`{value}`"


def _meaning(parameter: Any) -> str:
    return f"{parameter.help or ''}{' Repeatable.' if _repeats(parameter) else ''}"


def _repeats(parameter: Any) -> bool:
    return parameter.multiple and "repeat" not in (parameter.help or "").lower()
