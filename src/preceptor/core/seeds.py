"""One seed per run; every random choice draws from a seed of its own, derived by name.

Deriving instead of carrying generator state means that step 12 draws the same numbers whether or not the process was
restarted after step 11, and that a new random choice somewhere shifts no other.
"""

from preceptor.core.hashing import content_hash


def derive_seed(seed: int, *names: str | int) -> int:
    """A 63-bit seed for the purpose named, for instance `derive_seed(0, "rollout", step)`."""
    return int(content_hash([seed, *names])[:16], 16) >> 1
