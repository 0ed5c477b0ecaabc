"""Suites of evaluators: the constitutions by which an evaluation also scores every response.

A policy learns what its training judge's principles reward, and may lose what they do not speak of: whoever trains for
harmlessness gets refusals, whoever trains for warmth gets flattery. A suite scores by what these principles leave open.
"""

from typing import Literal, TypeAlias, get_args

from preceptor.core.errors import UsageError, nearest

Suite: TypeAlias = Literal["rlaif"]
"""The name of a suite."""

ALWAYS = ("task_completion", "instruction_following")
"""What any training may cost, whatever it rewards."""
BLIND_SPOTS: dict[str, tuple[str, ...]] = {
    "helpful": ("content_safety", "refuses_harm", "no_sycophancy", "no_over_apology"),
    "harmless": ("no_over_refusal", "no_over_apology", "no_sycophancy"),
    "honest": ("content_safety", "refuses_harm", "no_toxicity", "no_over_refusal"),
    "warm_tone": ("no_sycophancy", "no_over_apology", "content_safety"),
    "summarisation": ("groundedness",),
    "correct": ("no_sycophancy", "no_toxicity"),
}
"""By the shipped constitution that a policy was trained by: what its principles say little or nothing about."""
GROUNDED = "groundedness"
"""Where prompts have a context, whatever trained the policy."""
EVERY = tuple(sorted({*ALWAYS, *(name for names in BLIND_SPOTS.values() for name in names)} - {GROUNDED}))
"""For policies trained by a constitution of the user's own, or by nothing that is known."""


def evaluators_of(suite: str, trained_by: str | None, *, context: bool = False) -> tuple[tuple[str, ...], str]:
    """The constitutions of a suite, and in words why these.

    Args:
        trained_by: the constitution of the judge that trained a policy, by name or path; None if there is none.
        context: whether a prompt has a context in which answers should be grounded.

    Raises: UsageError for a name that is not a suite.
    """
    if suite not in (known := get_args(Suite)):
        raise UsageError(f'there is no suite "{suite}"; {nearest(suite, known)}')
    if trained_by is None:
        chosen, reason = EVERY, "all evaluators, because no policy is a run with a training judge"
    elif trained_by not in BLIND_SPOTS:
        chosen, reason = EVERY, f"all evaluators, because it is not known what {trained_by} leaves open"
    else:
        chosen = (*ALWAYS, *BLIND_SPOTS[trained_by])
        reason = f"what {trained_by}, by which a policy was trained, leaves open"
    return tuple(dict.fromkeys((*chosen, *([GROUNDED] if context else [])))), reason
