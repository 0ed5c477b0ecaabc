"""Logs of inspect_ai (.eval or .json) as rows for `preceptor.label` and `preceptor.evaluate`."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from inspect_ai.log import read_eval_log  # pyright: ignore[reportMissingImports]

import preceptor as pc
from preceptor.integrations.inspect_ai import answered, prompt_of

_LOG = logging.getLogger("preceptor.integrations")


def comparisons(a: str | Path, b: str | Path, *, whole: bool = False) -> list[dict[str, Any]]:
    """Rows of comparisons from two logs over the same samples, for `preceptor.label`.

    Samples are matched by id and epoch. Those that one log lacks, or that ended without an output, are left out, and a
    warning says how many.

    Args:
        a: the log whose outputs become response a; `b` likewise. Each output's policy is the log's model.
        whole: whether a response is all messages since the first one of the assistant, in place of the last output.

    Raises: UsageError when the logs have no sample in common, or one sample has different inputs.
    """
    (model_a, first), (model_b, second) = _samples(a), _samples(b)
    both = [key for key in first if key in second]
    if not both:
        raise pc.UsageError(f"{a} and {b} have no sample with an output in common")
    if missing := len(first.keys() ^ second.keys()):
        _LOG.warning("%d samples have an output in only one of %s and %s and were left out", missing, a, b)
    for key in both:
        if prompt_of(first[key].input) != prompt_of(second[key].input):
            raise pc.UsageError(
                f"sample {key[0]} has different inputs in {a} and {b}; compare logs over the same samples"
            )
    return [
        _row(first[key])
        | {"response_a": _response(first[key], whole), "response_b": _response(second[key], whole)}
        | {"policy_a": model_a, "policy_b": model_b}
        for key in both
    ]


def responses(log: str | Path, *, whole: bool = False) -> list[dict[str, Any]]:
    """Rows of responses from a log, as a policy for `preceptor.evaluate`.

    Raises: UsageError when a sample has no output, since an evaluation must not miss a prompt unnoticed.
    """
    _, samples = _samples(log, strict=True)
    return [_row(sample) | {"response": _response(sample, whole)} for sample in samples.values()]


def _samples(log: str | Path, *, strict: bool = False) -> tuple[str, Mapping[tuple[Any, int], Any]]:
    """The log's model, and its samples with an output by id and epoch."""
    read = read_eval_log(log, resolve_attachments=True)
    samples = {(sample.id, sample.epoch): sample for sample in read.samples or []}
    ended = {key: sample for key, sample in samples.items() if sample.error is None and sample.output.choices}
    if strict and len(ended) < len(samples):
        raise pc.UsageError(f"{log}: {len(samples) - len(ended)} of {len(samples)} samples have no output")
    return read.eval.model, ended


def _row(sample: Any) -> dict[str, Any]:
    reference = sample.target if isinstance(sample.target, str) and sample.target else None
    return {"prompt": prompt_of(sample.input), "reference": reference, "metadata": {"sample": str(sample.id)}}


def _response(sample: Any, whole: bool) -> Any:
    return answered(sample.messages) if whole else sample.output.completion
