"""The README and CONTRIBUTING: short enough to be read, and true about files and targets."""

import re

import pytest

from doc_blocks import ROOT
from preceptor.recipes.load import shipped_recipes

README, CONTRIBUTING = ((ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "CONTRIBUTING.md"))


def test_the_readme_is_short() -> None:
    assert len(README.splitlines()) <= 150


@pytest.mark.parametrize("page", [README, CONTRIBUTING], ids=["README", "CONTRIBUTING"])
def test_links_and_make_targets_exist(page: str) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = re.findall(r"(?:`|^)make (\w[\w-]*)", page, flags=re.MULTILINE)
    assert targets
    for target in targets:
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target
    for link in re.findall(r"\]\(([^)#:]+)\)", page):
        assert (ROOT / link).exists(), link


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "docs/architecture.md"])
def test_files_that_are_named_exist(page: str) -> None:
    named = re.findall(r"`([\w.]+(?:/[\w.]+)+)`", (ROOT / page).read_text(encoding="utf-8"))
    assert named
    for name in named:
        assert any((ROOT / folder / name).exists() for folder in ("", "src", "src/preceptor")) or "NAME" in name, name


def test_every_page_is_in_the_navigation() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    for page in (ROOT / "docs").rglob("*.md"):
        name = page.relative_to(ROOT / "docs").as_posix()
        assert name in navigation or name.startswith("decisions/"), name


@pytest.mark.parametrize("recipe", shipped_recipes())
def test_every_shipped_recipe_is_explained(recipe: str) -> None:
    assert f"`{recipe}`" in (ROOT / "docs/how-to/recipes.md").read_text(encoding="utf-8")
