"""Pages and Markdown from templates. Every value is escaped, unless a template or the value's type says otherwise."""

from functools import cache
from typing import Any

from jinja2 import Environment
from markupsafe import Markup

from preceptor.core.text import printable
from preceptor.store.documents import document, environment

_PACKAGE = "preceptor.reports"


def page(template: str, **values: Any) -> str:
    """An HTML page."""
    return _pages().get_template(template).render(values)


def markdown(template: str, **values: Any) -> str:
    """A Markdown document with at most one empty line in a row, except in fenced blocks."""
    return document(_PACKAGE, template, **values)


@cache
def _pages() -> Environment:
    return environment(_PACKAGE, _shown, html=True)


def _shown(value: Any) -> Any:
    """A value before it is escaped for HTML: hidden characters in a text are made visible."""
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value
