"""Equal calls of several threads are made once."""

from concurrent.futures import ThreadPoolExecutor

from preceptor.store.claims import Claims


def test_the_second_thread_gets_the_result_of_the_first() -> None:
    claims: Claims[str] = Claims()
    with ThreadPoolExecutor(1) as other, claims.take(["x", "y"]) as first:
        second = other.submit(claims.take, ["y", "z"]).result()
        assert (first.own, list(first.others)) == (["x", "y"], [])
        assert (second.own, list(second.others)) == (["z"], ["y"])
        assert not second.others["y"].done()
        first.end("y", "answer")
        assert second.others["y"].result() == "answer"


def test_a_call_that_was_given_up_has_no_result_and_can_be_claimed() -> None:
    claims: Claims[str] = Claims()
    with ThreadPoolExecutor(1) as other:
        with claims.take(["x"]):
            second = other.submit(claims.take, ["x"]).result()
        assert second.others["x"].result() is None
        assert other.submit(claims.take, ["x"]).result().own == ["x"]


def test_a_thread_never_waits_for_itself() -> None:
    claims: Claims[str] = Claims()
    with claims.take(["x"]) as first, claims.take(["x"]) as second:
        assert first.own == second.own == ["x"]
        first.end("x", "answer")
        second.end("x", "answer")
