"""Text from outside is text in Markdown: in a sentence, as code, between fences, in a card's YAML."""

import pytest
import yaml as reader
from markdown_it import MarkdownIt

from preceptor.core.markdown import code, escaped, fenced, yaml

MARKDOWN = MarkdownIt("commonmark").enable("table")


@pytest.mark.parametrize("text", ["plain", "a`b", "``", "`", "a `` b ` c", "new\nline", "\x1b[31m", "<b>|x|", ""])
def test_code_holds_the_text_and_nothing_else(text: str) -> None:
    inline = MARKDOWN.parse(f"- Judge: {code(text)} and more")[3]
    assert [child.type for child in inline.children or ()] == ["text", "code_inline", "text"]
    said = text.replace("\n", " ").replace("\x1b", r"\x1b")
    assert (inline.children or [])[1].content.strip() == said


@pytest.mark.parametrize(
    "text", ["*a*", "[x](http://y)", "<script>", "![x](y)", "a|b", "# a", "`a`", "&lt;", "$x$", "a\n\n# b", "\u202ea"]
)
def test_a_sentence_holds_the_text_and_nothing_else(text: str) -> None:
    tokens = MARKDOWN.parse(f"- Name: {escaped(text)}")
    assert len(tokens) == 7
    [only] = tokens[3].children or []
    assert only.type == "text"
    assert only.content == "Name: " + " ".join(text.split()).replace("\u202e", r"\u202e")


def test_a_block_keeps_its_lines_and_shows_what_is_hidden() -> None:
    assert fenced("a\r\n\x1b[31m```\n") == "````text\na\n\\x1b[31m```\n\n````"
    assert fenced("{}", "json") == "```json\n{}\n```"


@pytest.mark.parametrize(
    "text",
    ["org/name", "true", "a: b", "x\ntags: [evil]", "- a", "# a", "\u202e", "../../etc", "1/2", "'", '"', "org/name#x"],
)
def test_yaml_holds_one_value(text: str) -> None:
    assert reader.safe_load(f"base_model: {yaml(text)}\ntags: []") == {"base_model": text, "tags": []}


def test_a_repository_is_named_without_quotes() -> None:
    assert yaml("HuggingFaceTB/SmolLM2-135M") == "HuggingFaceTB/SmolLM2-135M"
