"""Text from outside for pages: Markdown rendered without anything that runs or loads, code highlighted, differences."""

import difflib
import re
from collections.abc import Sequence
from functools import cache

import nh3
from markdown_it import MarkdownIt
from markupsafe import Markup, escape
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name
from pygments.util import ClassNotFound

from preceptor.core.text import printable

_LONGEST = 100_000
"""Characters of a text that is rendered as Markdown; a longer one is shown as it is."""
_LONGEST_COMPARED = 4_000
"""Words of texts that are compared word by word; longer ones are compared line by line."""
_TAGS = {
    *("p", "br", "hr", "h1", "h2", "h3", "h4", "h5", "h6", "strong", "em", "s", "blockquote", "ul", "ol", "li"),
    *("pre", "code", "table", "thead", "tbody", "tr", "th", "td", "span"),
}
_ATTRIBUTES = {"span": {"class"}, "pre": {"class"}, "code": {"class"}, "ol": {"start"}}


def rendered(text: str) -> Markup:
    """Markdown as HTML. HTML in the text is shown as text; links and images are shown as their text and address, and
    cannot be followed or loaded; hidden characters are made visible.
    """
    text = printable(text)
    if len(text) > _LONGEST:
        return Markup('<pre class="plain">{}</pre>').format(text)
    html = _markdown().render(text)
    return Markup(nh3.clean(html, tags=_TAGS, attributes=_ATTRIBUTES, url_schemes=set()))


def plain(text: str) -> Markup:
    """The text as it is, with line breaks kept by the style sheet."""
    return Markup('<div class="plain">{}</div>').format(printable(text))


def differences(one: str, other: str) -> tuple[Markup, Markup]:
    """Both texts, with what the other does not have marked, word by word where they are short enough."""
    pattern = r"\s+|\w+|[^\w\s]"
    parts = [re.findall(pattern, text) for text in (one, other)]
    if max(map(len, parts)) > _LONGEST_COMPARED:
        parts = [text.splitlines(keepends=True) for text in (one, other)]
    matcher = difflib.SequenceMatcher(None, parts[0], parts[1], autojunk=max(map(len, parts)) > _LONGEST_COMPARED)
    first, second = Markup(), Markup()
    for what, i, j, k, m in matcher.get_opcodes():
        before, after = escape(printable("".join(parts[0][i:j]))), escape(printable("".join(parts[1][k:m])))
        same = what == "equal"
        first += before if same or not before else Markup("<del>{}</del>").format(before)
        second += after if same or not after else Markup("<ins>{}</ins>").format(after)
    return Markup('<div class="plain">{}</div>').format(first), Markup('<div class="plain">{}</div>').format(second)


@cache
def code_styles() -> str:
    """The style sheet of highlighted code, for light and dark pages."""
    light = HtmlFormatter(style="default").get_style_defs(".code")
    dark = HtmlFormatter(style="github-dark").get_style_defs(".code")
    return f"{light}\n@media (prefers-color-scheme: dark) {{\n{dark}\n}}\n"


@cache
def _markdown() -> MarkdownIt:
    markdown = MarkdownIt("commonmark", {"html": False, "highlight": _highlighted}).enable(["table", "strikethrough"])
    markdown.add_render_rule("link_open", _nothing)
    markdown.add_render_rule("link_close", _address)
    markdown.add_render_rule("image", _image)
    return markdown


def _highlighted(code: str, language: str, _attributes: str) -> str:
    try:
        lexer = get_lexer_by_name(language) if language else None
    except ClassNotFound:
        lexer = None
    inner = str(escape(code)) if lexer is None else highlight(code, lexer, HtmlFormatter(nowrap=True))
    return f'<pre class="code"><code>{inner}</code></pre>'


def _nothing(*_: object) -> str:
    return ""


def _address(_renderer: object, tokens: Sequence[object], index: int, *_: object) -> str:
    """The address of the link that ends here, behind its text."""
    depth = 0
    for token in reversed(tokens[: index + 1]):
        kind = getattr(token, "type", "")
        depth += (kind == "link_close") - (kind == "link_open")
        if not depth:
            return f" <code>{escape(str(getattr(token, 'attrs', {}).get('href', '')))}</code>"
    return ""


def _image(_renderer: object, tokens: Sequence[object], index: int, *_: object) -> str:
    token = tokens[index]
    source = str(getattr(token, "attrs", {}).get("src", ""))
    return f"{escape(str(getattr(token, 'content', '')))} <code>{escape(source)}</code>"
