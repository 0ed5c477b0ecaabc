"""Markdown documents from templates: cards of datasets and models, the Markdown of reports."""

import re
from collections.abc import Callable
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from preceptor.core.markdown import code, escaped, fenced, yaml
from preceptor.core.numbers import for_templates
from preceptor.core.text import printable

_QUOTED_OR_EMPTY = re.compile(r"^((`{3,})\w+\n.*?\n\2)$|\n{3,}", re.DOTALL | re.MULTILINE)


def document(package: str, template: str, **values: Any) -> str:
    """A Markdown document with at most one empty line in a row, except in fenced blocks.

    Every value is escaped, unless one of the filters `code`, `fenced` and `yaml` says how it is shown.

    Args:
        package: where the template is, such as "preceptor.store".
    """
    text = _markdown(package).get_template(template).render(values).strip() + "\n"
    return _QUOTED_OR_EMPTY.sub(lambda match: match[1] or "\n\n", text)


def environment(package: str, finalize: Callable[[Any], Any], *, html: bool) -> Environment:
    """An environment with the templates of a package; they refuse unknown names and can call `core.numbers`.

    Args:
        finalize: called with every value before it is shown.
        html: whether values are escaped for HTML.
    """
    templates = Environment(
        loader=PackageLoader(package, "."),
        autoescape=html,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=finalize,
    )
    functions: dict[str, Any] = for_templates()
    templates.globals.update(functions)
    return templates


def html_environment(package: str) -> Environment:
    """The HTML templates of a package. Values are escaped, and hidden characters in them are made visible."""
    return environment(package, _visible, html=True)


def _visible(value: Any) -> Any:
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


@cache
def _markdown(package: str) -> Environment:
    """The templates of a package, set up to escape every value for Markdown."""
    templates = environment(package, escaped, html=False)
    templates.filters.update({"code": code, "fenced": fenced, "yaml": yaml})
    return templates
