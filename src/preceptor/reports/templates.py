"""Pages and Markdown from templates. Every text that goes into one is escaped, unless it says that it need not be."""

import re
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from preceptor.reports import numbers

_LOADER = PackageLoader("preceptor.reports", ".")
_SPECIAL = re.compile(r"[\\`*_{}\[\]|~$#]")
_ENTITY = re.compile(r"&(?=#?\w+;)|<(?!\s)|>")
_INTERVAL = re.compile(r"(?<=\S )\\\[([-+0-9., ]+)\\\](?![(\[])")
_LIST = re.compile(r"^( ?\d*)([-+=]+|[.)])(?=\s|$)")  # what makes a list, a rule or a heading of a line
_QUOTED_OR_EMPTY = re.compile(r"^((`{3,})text\n.*?\n\2)$|\n{3,}", re.DOTALL | re.MULTILINE)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class Ready(str):
    """Text that is Markdown already."""

    __slots__ = ()


def page(template: str, **values: Any) -> str:
    """A page of HTML."""
    return _pages().get_template(template).render(values)


def markdown(template: str, **values: Any) -> str:
    """A document of Markdown, without more than one empty line in a row outside of what it quotes."""
    document = _documents().get_template(template).render(values).strip() + "\n"
    return _QUOTED_OR_EMPTY.sub(lambda match: match[1] or "\n\n", document)


def escaped(value: Any) -> Ready:
    """A text on one line of Markdown, in which nothing is markup: no emphasis, link, HTML, mathematics or table cell.

    Intervals keep their brackets as they are.
    """
    if isinstance(value, Ready):
        return value
    text = _CONTROL.sub("", re.sub(r"\s+", " ", str(value)))
    text = _ENTITY.sub(lambda match: {"&": "&amp;", "<": "&lt;", ">": "&gt;"}[match[0]], text)
    text = _SPECIAL.sub(lambda match: "\\" + match[0], text)
    return Ready(_INTERVAL.sub(r"[\1]", _LIST.sub(r"\1\\\2", text)))


def fenced(text: str) -> Ready:
    """A text as a block of its own, between fences that are longer than any in it."""
    text = _CONTROL.sub("\ufffd", text.replace("\r\n", "\n").replace("\r", "\n"))
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return Ready(f"{fence}text\n{text}\n{fence}")


@cache
def _pages() -> Environment:
    return _with_numbers(
        Environment(
            loader=_LOADER,
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
    )


@cache
def _documents() -> Environment:
    environment = Environment(
        loader=_LOADER,
        autoescape=False,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=escaped,
    )
    environment.filters["fenced"] = fenced
    return _with_numbers(environment)


def _with_numbers(environment: Environment) -> Environment:
    names = ("number", "interval", "estimate", "percent", "share_parts", "share", "p_value", "listed", "dollars")
    environment.globals.update({name: getattr(numbers, name) for name in names})
    return environment
