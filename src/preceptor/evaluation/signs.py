"""Sign-flip tests of paired differences, and the correction for multiple tests."""

from collections.abc import Sequence

import numpy as np

ALPHA = 0.05
_ENUMERATED = 14  # 14 differences have 16,384 patterns of signs
_SAMPLED = 9_999
_CELLS = 4_000_000  # signs held at once
_ZERO = 1e-12  # rounding error of the difference of two equal means, for values of the order of 1
_SEED = 20_230_901  # any fixed number: the same data has the same p-value


def sign_flip_p_value(differences_P: Sequence[float]) -> float | None:
    """Two-sided p-value for a mean of 0: the share of sign flips with a sum at least as far from 0 (Fisher 1935, §21).

    The null hypothesis is that differences are symmetric about 0, as they are if "before" and "after" are
    interchangeable. With up to 14 differences other than 0, all patterns of signs are enumerated. With more, 9,999
    patterns are drawn and the data's own counts as one more, so p is never 0 (Phipson & Smyth 2010).

    Args:
        differences_P: one for each prompt, independent of each other, of the order of 1.

    Returns: None with fewer than three prompts; 1 where all differences are 0.

    Raises: ValueError for a difference that is not finite.
    """
    all_P = np.asarray(differences_P, dtype=float)
    if not np.isfinite(all_P).all():
        raise ValueError("a difference is not a finite number")
    if len(all_P) < 3:
        return None
    moving = all_P[np.abs(all_P) > _ZERO]  # flipping the sign of 0 changes nothing
    if not len(moving):
        return 1.0
    far = abs(moving.sum()) - 1e-9 * np.abs(moving).sum()  # with a margin for rounding
    if len(moving) <= _ENUMERATED:
        patterns = np.arange(2 ** len(moving))[:, None] >> np.arange(len(moving)) & 1
        return float(np.mean(_reaches(patterns, moving, far)))
    rng = np.random.default_rng(_SEED)
    size = max(1, _CELLS // len(moving))
    as_far = sum(
        int(_reaches(rng.integers(0, 2, (min(size, _SAMPLED - start), len(moving)), np.int8), moving, far).sum())
        for start in range(0, _SAMPLED, size)
    )
    return (as_far + 1) / (_SAMPLED + 1)


def _reaches(patterns_RP: np.ndarray, differences_P: np.ndarray, far: float) -> np.ndarray:
    """Whether each pattern of zeros (minus) and ones (plus) has a sum at least `far` from 0."""
    return np.abs(2.0 * (patterns_RP.astype(float) @ differences_P) - differences_P.sum()) >= far


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """The p-values after Holm's correction over those that are not None, which stay None (Holm 1979)."""
    corrected: list[float | None] = [None] * len(p_values)
    known = sorted((p, place) for place, p in enumerate(p_values) if p is not None)
    highest = 0.0
    for rank, (p, place) in enumerate(known):
        highest = corrected[place] = max(highest, min(1.0, (len(known) - rank) * p))
    return corrected
