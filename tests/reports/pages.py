"""What any page of a report must keep to, read from its HTML."""

import base64
import hashlib
import re
from html.parser import HTMLParser
from itertools import pairwise

_VOID = {"meta", "br", "img", "input", "link", "hr", "source", "wbr", "area", "base", "col", "embed", "track"}


class Page(HTMLParser):
    """The elements of a page, in order, and whether they are nested as they should be."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.wrong: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)

    def handle_data(self, data: str) -> None:
        if not {"style", "title", "script"} & set(self.open[-1:]):
            self.words.append(data)

    def of(self, tag: str) -> list[dict[str, str | None]]:
        """The attributes of each element of that name."""
        return [attributes for name, attributes in self.elements if name == tag]


def hash_of_script(text: str) -> str:
    """The only script of a page, as its policy names it."""
    [script] = re.findall("<script>(.*?)</script>", text, flags=re.S)
    return f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}"


def without_script(text: str) -> str:
    """A page without its own script, in which no other may be."""
    return re.sub("<script>.*?</script>", "", text, count=1, flags=re.S)


def check_page(text: str) -> Page:
    """Well-formed, self-contained, nothing that runs, headings in order, tables and figures that say what they are."""
    page = Page(text)
    assert page.wrong == []
    assert page.open == []
    assert {"iframe", "object", "link", "img", "form"} & {name for name, _ in page.elements} == set()
    assert page.of("script") == [{}]
    [allowed] = re.findall(r"script-src '([^']+)'", str(page.of("meta")).replace("\\", ""))
    assert allowed == hash_of_script(text)
    assert not any(key.startswith("on") for _, attributes in page.elements for key in attributes)
    assert not any(key in attributes for _, attributes in page.elements for key in ("src", "srcset", "action"))
    links = [attributes["href"] for _, attributes in page.elements if "href" in attributes]
    sections = {f"#{attributes['id']}" for name, attributes in page.elements if name == "h2" and "id" in attributes}
    assert {link for link in links if not re.match("#[0-9a-f]{6}-", str(link))} == sections, "contents list them all"
    assert "default-src 'none'" in str(page.of("meta"))
    assert page.of("html") == [{"lang": "en"}]
    levels = [int(name[1]) for name, _ in page.elements if re.fullmatch("h[1-6]", name)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert all(th.get("scope") in ("col", "row", "rowgroup") for th in page.of("th"))
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for svg in page.of("svg"):
        assert svg["role"] == "img"
        assert len(svg["aria-label"] or "") > 20
    drawn = "".join(re.findall(r"<svg.*?</svg>", text, flags=re.S))
    assert re.findall(r"#[0-9a-fA-F]{6}\b(?!-)", drawn) == [], "every colour of a figure follows the page's scheme"
    said = " ".join(page.words)
    assert re.search(r"\bNone\b|\bnan\b|\bUndefined\b", said) is None
    return page
