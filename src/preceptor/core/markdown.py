"""Escapes text from outside for Markdown, so that it contains no markup and no hidden characters."""

import json
import re

from preceptor.core.text import printable

_SPECIAL = re.compile(r"[\\`*_{}\[\]|~$#]")
_ENTITY = re.compile(r"&(?=#?\w+;)|<(?!\s)|>")
_INTERVAL = re.compile(r"(?<=\S )\\\[([-+0-9., ]+)\\\](?![(\[])")
_LIST = re.compile(r"^( ?\d*)([-+=]+|[.)])(?=\s|$)")  # markers of a list item, a rule or a heading
_NAME = re.compile(r"[A-Za-z][\w-]*(\.[\w-]+)*/[\w-]+(\.[\w-]+)*", re.ASCII)


class Ready(str):
    """Text that already is Markdown."""

    __slots__ = ()


def escaped(value: object) -> Ready:
    """A text on one line of Markdown, in which nothing is markup: no emphasis, link, HTML, mathematics or table cell.

    Intervals keep their brackets as they are. Hidden characters are written out.
    """
    if isinstance(value, Ready):
        return value
    text = printable(re.sub(r"\s+", " ", str(value)))
    text = _ENTITY.sub(lambda match: {"&": "&amp;", "<": "&lt;", ">": "&gt;"}[match[0]], text)
    text = _SPECIAL.sub(lambda match: "\\" + match[0], text)
    return Ready(_INTERVAL.sub(r"[\1]", _LIST.sub(r"\1\\\2", text)))


def code(value: object) -> Ready:
    """A text as inline code, delimited by more backticks than it contains in a row. Not for table cells."""
    text = printable(re.sub(r"\s+", " ", str(value))).strip()
    ticks = "`" * (1 + _longest_run(text))
    space = " " if text[:1] == "`" or text[-1:] == "`" or not text else ""
    return Ready(f"{ticks}{space}{text}{space}{ticks}")


def fenced(text: str, language: str = "text") -> Ready:
    """A text as a fenced block, whose fences are longer than any run of backticks in it."""
    text = printable(text.replace("\r\n", "\n").replace("\r", "\n"))
    fence = "`" * max(3, 1 + _longest_run(text))
    return Ready(f"{fence}{language}\n{text}\n{fence}")


def yaml(value: object) -> Ready:
    """A text as a value in a card's YAML: the name of a repository without quotes, anything else in quotes."""
    text = str(value)
    return Ready(text if _NAME.fullmatch(text) else json.dumps(text))


def _longest_run(text: str) -> int:
    """The length of the longest run of backticks."""
    return max((len(run) for run in re.findall("`+", text)), default=0)
