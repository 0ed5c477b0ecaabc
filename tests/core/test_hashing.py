import pytest

from preceptor.core.errors import nearest
from preceptor.core.hashing import canonical_json, content_hash, unit_hash
from preceptor.core.seeds import derive_seed


def test_equal_content_has_equal_hash() -> None:
    assert content_hash({"b": 1, "a": [1, 2]}) == content_hash({"a": [1, 2], "b": 1})
    assert content_hash({"a": 1}) != content_hash({"a": 2})


def test_hashes_never_change() -> None:
    """Splits and ledgers depend on these."""
    assert content_hash({"a": "é"}) == "b3a092a6af48807fa9482b2ee140105575daa26d5b24b3c0e60a7e2dee6683b1"
    assert unit_hash("held out", "hello") == 0.01798819078743552
    assert canonical_json({"b": "é", "a": 1.5}) == '{"a":1.5,"b":"é"}'


def test_nan_is_refused() -> None:
    with pytest.raises(ValueError, match="JSON"):
        canonical_json(float("nan"))


def test_unit_hash_is_uniform_enough() -> None:
    values = [unit_hash("x", i) for i in range(2000)]
    assert all(0 <= v < 1 for v in values)
    assert 0.47 < sum(values) / len(values) < 0.53


def test_seeds_differ_by_name_and_repeat() -> None:
    assert derive_seed(0, "rollout", 1) == derive_seed(0, "rollout", 1)
    assert len({derive_seed(0, "rollout", 1), derive_seed(0, "rollout", 2), derive_seed(1, "rollout", 1)}) == 3
    assert 0 <= derive_seed(5, "x") < 2**63


def test_nearest_name_is_offered() -> None:
    assert nearest("rlo", ["rloo", "reinforce"]) == 'did you mean "rloo"?'
    assert nearest("zzz", ["b", "a"]) == 'known: "a", "b"'
