"""Text from outside for pages: Markdown rendered without anything that runs or loads, code highlighted, differences.

Texts may be made to be slow to show. So each step has a bound, beyond which a text is shown as it is.
"""

import difflib
import io
import re
import time
from collections import Counter
from collections.abc import Sequence
from functools import cache
from typing import Any

import nh3
from markdown_it import MarkdownIt
from markdown_it.token import Token
from markdown_it.utils import EnvType
from markupsafe import Markup, escape
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name
from pygments.util import ClassNotFound

from preceptor.core.text import printable

MOST_RENDERED = 100_000
"""Characters of all texts of a page that are rendered as Markdown; what goes beyond is shown as it is."""
_LONGEST_CODE = 5_000
"""Characters of a block of code that is highlighted."""
_HIGHLIGHTED = frozenset(
    {
        *("bash", "c", "console", "cpp", "css", "diff", "docker", "go", "haskell", "html", "ini", "java", "javascript"),
        *("json", "jsx", "julia", "kotlin", "lua", "make", "perl", "php", "powershell", "python", "ruby", "rust"),
        *("splus", "sql", "swift", "tex", "toml", "typescript", "xml", "yaml"),
    }
)
"""Languages whose code is highlighted, by Pygments' first name for each. A single expression of others, such as Scala,
can take minutes or for ever on a text that is made for it, and nothing can stop it; none of these did in a search with
thousands of such texts."""
_HIGHLIGHTING_S = 0.3
"""Seconds for highlighting all code of a page."""
_LONGEST_COMPARED = 4_000
"""Words of texts that are compared word by word, and lines of those that are compared line by line."""
_MOST_MATCHES = 1_000_000
"""Pairs of equal words, or lines, up to which texts are compared; a step of the comparison takes as long."""
_COMPARING_S = 0.4
"""Seconds for comparing two texts."""
_TAGS = {
    *("p", "br", "hr", "h1", "h2", "h3", "h4", "h5", "h6", "strong", "em", "s", "blockquote", "ul", "ol", "li"),
    *("pre", "code", "table", "thead", "tbody", "tr", "th", "td", "span"),
}
_ATTRIBUTES = {"span": {"class"}, "pre": {"class"}, "code": {"class"}, "ol": {"start"}}


class Renderer:
    """Renders the Markdown of one page."""

    def __init__(self) -> None:
        self._characters = MOST_RENDERED
        self._seconds = _HIGHLIGHTING_S

    def __call__(self, text: str) -> Markup:
        """Markdown as HTML. HTML in the text is shown as text; links and images are shown as their text and address,
        and cannot be followed or loaded; hidden characters are made visible. Once a page has too much text, what
        follows is shown as it is, and says so.
        """
        text = printable(text)
        if len(text) > self._characters:
            note = Markup('<p class="soft">Not formatted: there is too much text on this page.</p>')
            return note + Markup('<div class="plain">{}</div>').format(text)
        self._characters -= len(text)
        html = _markdown().render(text, {"highlight": self._highlighted})
        return Markup(nh3.clean(html, tags=_TAGS, attributes=_ATTRIBUTES, url_schemes=set()))

    def _highlighted(self, code: str, language: str) -> Markup:
        """Code in colours if its language is highlighted and that is quick; else as it is."""
        if not language or len(code) > _LONGEST_CODE or self._seconds <= 0:
            return escape(code)
        began = time.monotonic()
        html = _in_colours(code, language, began + self._seconds)
        self._seconds -= time.monotonic() - began
        return escape(code) if html is None else Markup(html)


def plain(text: str) -> Markup:
    """The text as it is, with line breaks kept by the style sheet."""
    return Markup('<div class="plain">{}</div>').format(printable(text))


def differences(one: str, other: str) -> tuple[Markup, Markup]:
    """Both texts, with what the other does not have marked: word by word where that is quick, else line by line. Texts
    that take too long for both are shown as they are, and say so. White space between words is not compared.
    """
    words = [re.findall(r"(?:\w+|[^\w\s])\s*|\s+", text) for text in (one, other)]
    lines = [text.splitlines(keepends=True) for text in (one, other)]
    for before, after in (words, lines):
        try:
            return _marked(before, after)
        except TimeoutError:
            continue
    note = Markup('<p class="soft">Not compared: these texts are too long.</p>')
    return note + plain(one), note + plain(other)


class _Matcher(difflib.SequenceMatcher[str]):
    """Compares two lists of parts for a limited time."""

    def __init__(self, one: Sequence[str], other: Sequence[str]) -> None:
        """Raises: TimeoutError if there are too many parts, or too many that are equal."""
        often = Counter(other)
        if max(len(one), len(other)) > _LONGEST_COMPARED or sum(often[part] for part in one) > _MOST_MATCHES:
            raise TimeoutError
        super().__init__(None, one, other, autojunk=False)
        self._end = time.monotonic() + _COMPARING_S

    def find_longest_match(
        self, alo: int = 0, ahi: int | None = None, blo: int = 0, bhi: int | None = None
    ) -> difflib.Match:
        """One of the steps of a comparison, of which there may be thousands."""
        if time.monotonic() > self._end:
            raise TimeoutError
        return super().find_longest_match(alo, ahi, blo, bhi)


def _marked(one: Sequence[str], other: Sequence[str]) -> tuple[Markup, Markup]:
    """Raises: TimeoutError if it would take too long."""
    matcher = _Matcher(*([part.strip() for part in parts] for parts in (one, other)))
    first, second = list[Markup](), list[Markup]()
    for what, i, j, k, m in matcher.get_opcodes():
        before, after = escape(printable("".join(one[i:j]))), escape(printable("".join(other[k:m])))
        same = what == "equal"
        first.append(before if same or not before else Markup("<del>{}</del>").format(before))
        second.append(after if same or not after else Markup("<ins>{}</ins>").format(after))
    whole = Markup('<div class="plain">{}</div>')
    return whole.format(Markup().join(first)), whole.format(Markup().join(second))


@cache
def code_styles() -> str:
    """The style sheet of highlighted code, for light and dark pages."""
    light = HtmlFormatter(style="default").get_style_defs(".code")
    dark = HtmlFormatter(style="github-dark").get_style_defs(".code")
    return f"{light}\n@media (prefers-color-scheme: dark) {{\n{dark}\n}}\n"


@cache
def _markdown() -> MarkdownIt:
    markdown = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
    markdown.add_render_rule("fence", _fence)
    markdown.add_render_rule("link_open", _nothing)
    markdown.add_render_rule("link_close", _address)
    markdown.add_render_rule("image", _image)
    return markdown


def _fence(_renderer: object, tokens: Sequence[Token], index: int, _options: object, env: EnvType) -> str:
    language = tokens[index].info.split(maxsplit=1)[:1]
    return f'<pre class="code"><code>{env["highlight"](tokens[index].content, *language or [""])}</code></pre>'


def _in_colours(code: str, language: str, end: float) -> str | None:
    """Code as HTML; None if its language is not highlighted, or the time `end` comes first."""
    try:
        lexer = get_lexer_by_name(language)
    except ClassNotFound:
        return None
    if lexer.aliases[0] not in _HIGHLIGHTED:
        return None
    parts: list[tuple[Any, str]] = []
    for part in lexer.get_tokens(code):
        parts.append(part)
        if time.monotonic() > end:
            return None
    html = io.StringIO()
    HtmlFormatter(nowrap=True).format(parts, html)
    return html.getvalue()


def _nothing(*_: object) -> str:
    return ""


def _address(_renderer: object, tokens: Sequence[Token], index: int, *_: object) -> str:
    """The address of the link that ends here, behind its text. Links contain no links."""
    opened = next(i for i in range(index, -1, -1) if tokens[i].type == "link_open")
    return f" <code>{escape(str(tokens[opened].attrs.get('href', '')))}</code>"


def _image(_renderer: object, tokens: Sequence[Token], index: int, *_: object) -> str:
    token = tokens[index]
    return f"{escape(token.content)} <code>{escape(str(token.attrs.get('src', '')))}</code>"
