"""The family of a model, by its name, its configuration, or the header of its file."""

import json
import struct
from pathlib import Path

import pytest

from preceptor.judging.families import families_of


@pytest.mark.parametrize(
    ("model", "family"),
    [
        ("embedded", "SmolLM"),
        ("embedded#0123456789abcdef:bfloat16", "SmolLM"),
        ("hf:Qwen/Qwen2.5-0.5B-Instruct@main", "Qwen"),
        ("Qwen2.5-Coder-1.5B#0123456789abcdef:float32", "Qwen"),
        ("ollama:qwq:32b", "Qwen"),
        ("ollama:llama3.2", "Llama"),
        ("openai:meta-llama/Llama-3.1-8B-Instruct@http://localhost:8000/v1", "Llama"),
        ("openai:gpt-4o-mini", "GPT"),
        ("openai:o3-mini", "GPT"),
        ("litellm:anthropic/claude-sonnet-4", "Claude"),
        ("litellm:gemini/gemini-2.5-flash", "Gemini"),
        ("hf:google/gemma-2-2b-it", "Gemma"),
        ("hf:mistralai/Mixtral-8x7B-Instruct-v0.1", "Mistral"),
        ("litellm:deepseek/deepseek-chat", "DeepSeek"),
        ("hf:microsoft/Phi-3-mini-4k-instruct", "Phi"),
        ("hf:allenai/OLMo-2-1124-7B-Instruct", "OLMo"),
        ("hf:HuggingFaceTB/SmolLM2-360M-Instruct", "SmolLM"),
    ],
)
def test_the_family_by_name(model: str, family: str) -> None:
    assert families_of(model) == {family}


@pytest.mark.parametrize(
    "model",
    [
        "scripted:random",
        "openai:my-model",
        "ollama:mymodel",
        "hf:openai-community/gpt2",
        "hf:TinyLlama/TinyLlama-1.1B",
        "hf:EleutherAI/gpt-neo-125m",
    ],
)
def test_what_the_table_does_not_know(model: str) -> None:
    assert families_of(model) == frozenset()


def test_a_distilled_model_is_of_two_families() -> None:
    assert families_of("hf:deepseek-ai/DeepSeek-R1-Distill-Llama-8B") == {"DeepSeek", "Llama"}


def test_a_folder_is_known_by_its_configuration(tmp_path: Path) -> None:
    """Many families share Llama's architecture, so by itself it says nothing."""
    for name, config in (
        ("one", {"model_type": "qwen2"}),
        ("two", {"model_type": "llama"}),
        ("three", {"model_type": "llama", "_name_or_path": "HuggingFaceTB/SmolLM2-135M"}),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(json.dumps(config))
    (tmp_path / "four").mkdir()
    (tmp_path / "four" / "adapter_config.json").write_text('{"base_model_name_or_path": "google/gemma-2-2b"}')
    (tmp_path / "five").mkdir()
    (tmp_path / "five" / "config.json").write_text("[1]")
    found = [families_of(str(tmp_path / name)) for name in ("one", "two", "three", "four", "five")]
    assert found == [{"Qwen"}, frozenset(), {"SmolLM"}, {"Gemma"}, frozenset()]


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value)) + value.encode()


def test_a_gguf_file_is_known_by_its_header(tmp_path: Path) -> None:
    header = struct.pack("<4sIQQ", b"GGUF", 3, 0, 4)
    version = text("general.quantization_version") + struct.pack("<II", 4, 2)
    architecture = text("general.architecture") + struct.pack("<I", 8) + text("qwen2")
    named = text("general.name") + struct.pack("<I", 8) + text("Mistral by another name")
    file = tmp_path / "j.gguf"
    file.write_bytes(header + version + architecture + named)
    assert families_of(str(file)) == {"Qwen", "Mistral"}
    file.write_bytes(header + version + architecture[:-2])  # cut off
    assert families_of(str(file)) == frozenset()
    file.write_bytes(header + struct.pack("<Q", 1 << 60))  # a hostile length
    assert families_of(str(file)) == frozenset()
    file.write_bytes(b"not a model")
    assert families_of(str(file)) == frozenset()
