"""Adds the pages that are made from the code to the documentation: commands, recipe settings, decisions, changelog."""

import re
from pathlib import Path

import api
import commands
import settings
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

FIGURES = "benchmarks/results"
_LOADED = re.compile(r"<(?:script|img|iframe|link)\b[^>]*\b(?:src|href)=\"(?:https?:)?//[^\"]+")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Called by MkDocs once it has listed the pages of `docs/`."""
    docs = Path(config.docs_dir)
    made = {
        "reference/api.md": api.page(),
        "reference/cli.md": commands.page(),
        "reference/recipes.md": settings.page(),
        "decisions/index.md": decisions(docs / "decisions"),
        "changelog.md": (docs.parent / "CHANGELOG.md").read_text(encoding="utf-8").replace("](docs/", "]("),
    }
    for path, text in made.items():
        files.append(File.generated(config, path, content=text))
    for figure in (docs.parent / FIGURES).glob("*.svg"):
        files.append(File.generated(config, f"figures/{figure.name}", abs_src_path=str(figure)))
    return files


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Called by MkDocs before it renders a page: figures of benchmarks are outside `docs/`."""
    return markdown.replace(f"](../{FIGURES}/", "](figures/") if page.file.src_uri == "benchmarks.md" else markdown


def on_post_page(output: str, page: Page, **_: object) -> str:
    """Called by MkDocs with each finished page: none may load anything from another host."""
    if found := _LOADED.search(output):
        raise PluginError(f"{page.file.src_uri}: loads {found[0]}")
    return output


def decisions(folder: Path) -> str:
    """A page that links to every decision, by its title."""
    lines = ["# Decisions", "", "What was decided, and why; the newest last.", ""]
    for path in sorted(folder.glob("[0-9]*.md")):
        title = path.read_text(encoding="utf-8").splitlines()[0].removeprefix("# ")
        lines.append(f"- [{title}]({path.name})")
    return "\n".join(lines) + "\n"
