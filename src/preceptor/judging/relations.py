"""Warns of preference leakage: a judge favours what its relatives wrote (Li et al. 2025, arXiv 2502.01534).

A judge is related to a policy if they have the same weights; if one was trained from the other; if both learned from
the labels of the same model; or if both are of one family, and so probably learned from the same data. A family that is
not known gives no warning.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from preceptor.backends.names import same_model
from preceptor.judging.families import families_of
from preceptor.judging.warnings import JudgeWarning


@dataclass(frozen=True)
class Origin:
    """Where a model comes from, as far as it is known."""

    model: str
    """Its model string, or its identity."""
    identity: str | None = None
    """Its identity, if it was opened."""
    trained_from: tuple[str, ...] = ()
    """The models that its training began with, the nearest first."""
    taught_by: tuple[str, ...] = ()
    """The models whose judgements trained it, or one that it was trained from."""

    @property
    def families(self) -> frozenset[str]:
        """The families of the model and of those it was trained from."""
        return frozenset[str]().union(*(families_of(model) for model in (self.model, *self.trained_from)))


SAME_WEIGHTS = 3
"""How close a relation is: 2 if one was trained from the other, 1 for a common teacher, 0 for one family."""


@dataclass(frozen=True)
class Relation:
    """How a judge is related to a policy."""

    words: str
    """After the judge's name: "has the same weights as NAME"."""
    closeness: int = field(default=0, compare=False)
    """See `SAME_WEIGHTS`."""


def relation(judge: Origin, policy: Origin, name: str = "the policy") -> Relation | None:
    """The closest relation of a judge to a policy; None if none is known.

    Args:
        name: what the policy is called.
    """
    if _same(judge, policy):
        return Relation(f"has the same weights as {name}", SAME_WEIGHTS)
    if judge.model in policy.trained_from:
        return Relation(f"is what {name} was trained from", 2)
    if policy.model in judge.trained_from or set(judge.trained_from) & set(policy.trained_from):
        what = f"{name}'s weights" if policy.model in judge.trained_from else f"the same model as {name}"
        return Relation(f"was trained from {what}", 2)
    if common := [teacher for teacher in judge.taught_by if teacher in policy.taught_by]:
        return Relation(f"learned from the judgements of {common[0]}, and so did {name}", 1)
    if family := sorted(judge.families & policy.families):
        return Relation(f"is of one family with {name} ({' and '.join(family)})", 0)
    return None


def related_warning(judges: Sequence[Origin], policy: Origin, judge: str = "the judge") -> JudgeWarning | None:
    """A warning of the closest relation between one of the judges and the policy; None if none is known.

    Args:
        judge: the judge's name in sentences.
    """
    known = [found for origin in judges if (found := relation(origin, policy)) is not None]
    if not known:
        return None
    closest = max(known, key=lambda found: found.closeness)
    return JudgeWarning(kind="related", sentence=f"{judge} {closest.words}: {LEAKAGE}")


LEAKAGE = "a judge favours what its relatives write, so confirm the result with a judge of another family"
"""What a relation means, after a colon."""


def _same(judge: Origin, policy: Origin) -> bool:
    if judge.identity is not None and policy.identity is not None:
        return same_model(judge.identity, policy.identity)
    return judge.model == policy.model
