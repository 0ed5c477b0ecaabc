"""Optional packages: the extra that installs each of them, and the error when one is missing.

`pip install preceptor` installs what judging over a server, labelling, audits, estimates, evaluations and reports need.
Local models and training need large packages, which come with the extras `local` and `train`; the web application comes
with `studio`, judges over HTTP with `serve`, models of other providers with `litellm`, spans for
OpenTelemetry with `otel`, workers on a cluster with `ray`, checks of rubrics by pattern, JSON schema and language with
`rubrics`, the search for a better wording of a constitution with `tune`.
"""

from importlib.util import find_spec

from preceptor.core.errors import UsageError

LOCAL = ("torch", "transformers", "safetensors", "gguf")
"""Packages of the extra `local`."""
TRAIN = ("accelerate", "datasets", "peft", "trl")
"""Further packages of the extra `train`."""
STUDIO = ("starlette", "uvicorn", "python_multipart", "nh3", "markdown_it", "pygments")
"""Packages of the extra `studio`."""


LITELLM = ("litellm",)
"""Packages of the extra `litellm`."""
SERVE = ("httptools", "prometheus_client", "starlette", "uvicorn")
"""Packages of the extra `serve`."""
OTEL = ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http")
"""Modules of the extra `otel`."""
RAY = ("ray",)
"""Packages of the extra `ray`."""
HUB = ("datasets", "huggingface_hub")
"""Packages of the extra `hub`."""
TUNE = ("gepa",)
"""Packages of the extra `tune`."""
RUBRICS = ("re2", "jsonschema", "py3langid")
"""Packages of the extra `rubrics`."""

_EXTRAS = {
    "local": LOCAL,
    "studio": STUDIO,
    "litellm": LITELLM,
    "serve": SERVE,
    "otel": OTEL,
    "ray": RAY,
    "rubrics": RUBRICS,
    "tune": TUNE,
    "hub": HUB,
}


def require(purpose: str, *packages: str, instead: str = "") -> None:
    """Checks that optional packages are installed, without importing them.

    Args:
        purpose: what needs them, with its verb: "training needs".
        instead: an alternative for the user: "or name a file".

    Raises: UsageError naming the missing packages and the command that installs them.

    Examples:
        >>> require("reading numbers needs", "json")
    """
    missing = [package for package in packages if not _is_installed(package)]
    if missing:
        extra = next((name for name, held in _EXTRAS.items() if set(missing) <= set(held)), "train")
        remedy = f'pip install "preceptor[{extra}]"' + (f", {instead}" if instead else "")
        raise UsageError(f"{purpose} {_listed(missing)}: {remedy}")


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # what it belongs to is missing
        return False


def require_local(model: str) -> None:
    """Checks that a model can be loaded on this machine.

    Raises: UsageError where a package is missing.
    """
    purpose = f'the model "{model}" runs on this machine and needs'
    require(purpose, *LOCAL, instead="or name a model behind a server (openai:NAME@BASE_URL)")


def require_training() -> None:
    """Checks that models can be trained.

    Raises: UsageError where a package is missing.
    """
    require("training needs", *LOCAL, *TRAIN)


def _listed(names: list[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last
