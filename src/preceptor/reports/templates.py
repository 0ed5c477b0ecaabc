"""Pages and Markdown from templates. Every text that goes into one is escaped, unless it says that it need not be."""

from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from preceptor.core.numbers import for_templates
from preceptor.core.text import printable
from preceptor.store.documents import document

_PACKAGE = "preceptor.reports"


def page(template: str, **values: Any) -> str:
    """A page of HTML."""
    return _pages().get_template(template).render(values)


def markdown(template: str, **values: Any) -> str:
    """A document of Markdown, without more than one empty line in a row outside of what it quotes."""
    return document(_PACKAGE, template, **values)


@cache
def _pages() -> Environment:
    pages = Environment(
        loader=PackageLoader(_PACKAGE, "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )
    pages.globals.update(for_templates())
    return pages


def _shown(value: Any) -> Any:
    """A value before it is escaped for HTML: hidden characters in a text are written out."""
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value
