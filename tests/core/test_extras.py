"""Which extra brings which package, and what is said where one is missing."""

import sys
import tomllib
from pathlib import Path

import pytest

from preceptor.core.errors import UsageError
from preceptor.core.extras import HUB, LITELLM, LOCAL, OTEL, RAY, RUBRICS, SERVE, STUDIO, TRAIN, TUNE, require

_IMPORTED = {
    "google-re2": "re2",
    "markdown-it-py": "markdown_it",
    "opentelemetry-exporter-otlp-proto-http": "opentelemetry.exporter.otlp.proto.http",
    "opentelemetry-sdk": "opentelemetry.sdk",
    "prometheus-client": "prometheus_client",
    "python-multipart": "python_multipart",
}
"""Names that are imported, where they differ from those that are installed."""
PYPROJECT = Path(__file__).parent.parent.parent / "pyproject.toml"


def test_the_extras_are_those_of_the_package() -> None:
    project = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]
    extras = {
        name: [line.partition(">=")[0] for line in lines] for name, lines in project["optional-dependencies"].items()
    }
    assert sorted(extras["local"]) == sorted(LOCAL)
    assert sorted(extras["train"]) == sorted(["preceptor[local]", *TRAIN])
    assert sorted(_IMPORTED.get(name) or name for name in extras["studio"]) == sorted(STUDIO)
    assert sorted(_IMPORTED.get(name) or name for name in extras["serve"]) == sorted(SERVE)
    assert sorted(_IMPORTED[name] for name in extras["otel"]) == sorted(OTEL)
    assert extras["hub"] == list(HUB)
    assert extras["litellm"] == list(LITELLM)
    assert extras["ray"] == [f"{name}[data]" for name in RAY]
    assert sorted(_IMPORTED.get(name) or name for name in extras["rubrics"]) == sorted(RUBRICS)
    assert extras["tune"] == list(TUNE)
    assert extras["all"] == ["preceptor[train,studio,serve,litellm,rubrics,tune,hub,otel]"]
    core = {line.partition(">=")[0] for line in project["dependencies"]}
    assert not core & {
        *LOCAL,
        *TRAIN,
        *extras["studio"],
        *extras["serve"],
        *LITELLM,
        *extras["rubrics"],
        *extras["otel"],
    }


def test_the_extra_that_brings_the_missing_packages_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    require("this needs", "json")
    monkeypatch.setattr(sys, "meta_path", [])
    for package in ("torch", "peft"):
        monkeypatch.delitem(sys.modules, package, raising=False)
    with pytest.raises(UsageError, match=r'^this needs torch: pip install "preceptor\[local\]"$'):
        require("this needs", "torch")
    with pytest.raises(UsageError, match=r'^this needs torch and peft: pip install "preceptor\[train\]", or do not$'):
        require("this needs", "torch", "peft", instead="or do not")
