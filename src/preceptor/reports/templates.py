"""Pages and Markdown from templates. Every value is escaped, unless a template or the value's type says otherwise."""

import base64
import hashlib
import re
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment
from markupsafe import Markup

from preceptor.reports.responses import SEED
from preceptor.store.documents import document, html_environment

_PACKAGE = "preceptor.reports"
_CONTENTS = "<!--contents-->"
_SECTION = re.compile(r'<h2 id="([\w-]+)">(.*?)</h2>')


def page(template: str, **values: Any) -> str:
    """An HTML page, with a list of its sections where the template says `contents()`."""
    text = _pages().get_template(template).render(values)
    return text.replace(_CONTENTS, _contents(_SECTION.findall(text)), 1)


def markdown(template: str, **values: Any) -> str:
    """A Markdown document with at most one empty line in a row, except in fenced blocks."""
    return document(_PACKAGE, template, **values)


def _contents(sections: list[tuple[str, str]]) -> str:
    links = "".join(f'<li><a href="#{place}">{title}</a></li>' for place, title in sections)
    return f'<nav class="contents" aria-label="Contents"><ul>{links}</ul></nav>'


@cache
def _pages() -> Environment:
    script = (files(_PACKAGE) / "page.js").read_text(encoding="utf-8")
    pages = html_environment(_PACKAGE)
    hashed = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    shared: dict[str, Any] = {
        "script": Markup(script),  # our own file
        "script_hash": Markup(hashed),
        "contents": lambda: Markup(_CONTENTS),
        "sample_seed": SEED,
    }
    pages.globals.update(shared)  # so that no page has to pass them on
    return pages
