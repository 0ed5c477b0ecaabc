"""The reference's log-probabilities of all responses, computed once before training and kept in the run."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from preceptor.core.errors import UsageError
from preceptor.core.hashing import content_hash
from preceptor.store.files import check_folder, read_json, write_folder, write_json
from preceptor.training.packed import TokenGroup
from preceptor.training.policy import Policy
from preceptor.training.processes import Processes

_AT_ONCE = 64
"""Groups whose token log-probabilities are held at the same time."""


def response_log_probs(log_probs_N: Tensor, groups: Sequence[TokenGroup]) -> Tensor:
    """Sums the log-probabilities of learned tokens by response: M × R for M groups of R responses."""
    lengths = [length for group in groups for length in group.lengths]
    return torch.stack([part.sum() for part in log_probs_N.split(lengths)]).view(len(groups), -1)


def reference_log_probs(policy: Policy, groups: Sequence[TokenGroup], folder: Path, processes: Processes) -> Tensor:
    """Log-probability of each response of M groups of R under the reference, M × R, fp32, on the CPU.

    If the folder already has them, they are verified and reused. Each process computes a part.

    Raises: UsageError when those in the folder are of other texts or another model, CheckpointError when they are
        truncated or altered.
    """
    about = {
        "model": policy.base.identity,
        "pairs": len(groups),
        "pairs_hash": content_hash([_hashed(group) for group in groups]),
    }
    kept = processes.on_main(lambda: _read(folder, about))
    if kept is not None:
        return kept
    computed = torch.tensor(processes.gather(_compute(policy, processes.part(groups))), dtype=torch.float32)

    def fill(partial: Path) -> None:
        save_file({"log_probs": computed}, partial / "log_probs.safetensors")
        write_json(partial / "about.json", about)

    processes.on_main(lambda: write_folder(folder, fill))
    return computed


def _hashed(tokens: TokenGroup) -> list[object]:
    """What a pair's log-probabilities depend on."""
    return [tokens.prompt, tokens.responses, *([] if tokens.learned is None else [tokens.learned])]


def _read(folder: Path, about: Mapping[str, object]) -> Tensor | None:
    """The log-probabilities that an earlier process computed, if any."""
    if not folder.exists():
        return None
    check_folder(folder)
    kept = read_json(folder / "about.json")
    if changed := [name for name, value in about.items() if kept.get(name) != value]:
        raise UsageError(
            f"{folder}: holds the reference's log-probabilities for another run ({', '.join(changed)} differ); name "
            "another run directory"
        )
    return load_file(folder / "log_probs.safetensors")["log_probs"]


def _compute(policy: Policy, groups: Sequence[TokenGroup]) -> list[list[float]]:
    """R numbers for each group."""
    log_probs: list[list[float]] = []
    for start in range(0, len(groups), _AT_ONCE):
        part = groups[start : start + _AT_ONCE]
        log_probs += response_log_probs(policy.reference_log_probs(part), part).tolist()
    return log_probs
